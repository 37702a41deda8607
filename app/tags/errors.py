"""Refusals about tags."""

from app.core.errors import NotFound


class TagNotFound(NotFound):
    """A tag was named that the shop does not have."""

    code, title = "tag_not_found", "There is no such tag in this shop"
