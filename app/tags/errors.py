"""Refusals about tags and their categories."""

from app.core.errors import Conflict, NotFound


class TagNotFound(NotFound):
    """A tag was named that the shop does not have."""

    code, title = "tag_not_found", "There is no such tag in this shop"


class TagExists(Conflict):
    """One name is one tag, whatever its category."""

    code, title = "tag_exists", "The shop has a tag of this name"


class TagIsAutomatic(Conflict):
    """A rule says who carries it."""

    code, title = "tag_is_automatic", "A rule says who carries this tag"

    def __init__(self, name: str, field: str = "tag") -> None:
        super().__init__(
            f"A rule says who carries {name}, and would undo this: change the rule, or use a tag that is given by hand",
            field=field,
        )


class TagDisabled(Conflict):
    """Whoever carries it keeps it, and nobody is given it by hand or by a file."""

    code, title = "tag_disabled", "This tag is disabled"

    def __init__(self, name: str, field: str = "tag") -> None:
        super().__init__(
            f"The tag {name} is disabled: make it normal with PATCH /v1/tags/<id>, or use another", field=field
        )


class TagCarried(Conflict):
    """Customers carry it, and the caller has not said that they shall lose it."""

    code, title = "tag_carried", "Customers carry this tag"


class CategoryNotFound(NotFound):
    """A category was named that the shop does not have."""

    code, title = "tag_category_not_found", "There is no such category of tags in this shop"


class CategoryExists(Conflict):
    """One name is one category."""

    code, title = "tag_category_exists", "The shop has a category of this name"


class CategoryHoldsTags(Conflict):
    """Tags are in it; `tags` lists up to twenty of them with id and name."""

    code, title = "tag_category_holds_tags", "There are tags in this category"
