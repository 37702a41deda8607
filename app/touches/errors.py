"""Refusals about templates and touches."""

from app.core.errors import NotFound


class TemplateNotFound(NotFound):
    """No template of that code."""

    code, title = "template_not_found", "There is no such template in this shop"


class TouchNotFound(NotFound):
    """No touch of that id."""

    code, title = "touch_not_found", "There is no such touch in this shop"


class RequestNotFound(NotFound):
    """No touch request of that id."""

    code, title = "touch_request_not_found", "There is no such touch request in this shop"
