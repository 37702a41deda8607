"""Refusals about push sources and messages."""

from app.core.errors import NotFound


class SourceNotFound(NotFound):
    """The shop takes no pushes from that app."""

    code, title = "push_source_not_found", "There is no such push source in this shop"


class MessageNotFound(NotFound):
    """No message of that id."""

    code, title = "push_message_not_found", "There is no such push message in this shop"


class PushRefused(Exception):
    """Not taken; `reason` is for our log only, the sender hears one answer for all of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(Exception):
    """What was kept is not a message of a form that we know."""


class Invalid(Exception):
    """A message says something that cannot be kept; `field` is the name of ours that it would go into."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field
