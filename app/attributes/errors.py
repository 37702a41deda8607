"""Refusals about attributes; none of them repeats a value."""

from app.core.errors import Conflict, Forbidden, NotFound, Unprocessable


class AttributeNotFound(NotFound):
    """Not declared, or by another shop."""

    code, title = "attribute_not_found", "The shop declares no such attribute"


class AttributeInUse(Conflict):
    """Customers have values that the change would leave without a meaning."""

    code, title = "attribute_in_use", "Customers have values of this attribute"


class AttributeBeingRemoved(Conflict):
    """Dropped with its values, and not all of them are gone yet."""

    code, title = "attribute_being_removed", "The values of the attribute that had this name are still being removed"


class SensitiveOff(Forbidden):
    """The shop has not said that it may keep sensitive values."""

    code, title = "sensitive_off", "Sensitive attributes are off in this shop"

    def __init__(self, field: str) -> None:
        detail = "Sensitive attributes are off in this shop; settle purpose, separate consent and impact assessment,"
        super().__init__(f"{detail} then set sensitive_attributes with PUT /v1/shop/settings", field=field)


class AttributeUndeclared(Unprocessable):
    """A name that the shop does not declare."""

    code, title = "attribute_undeclared", "The attribute is not declared"

    def __init__(self, name: str, field: str) -> None:
        super().__init__(
            f"The attribute {name} is not declared; declare it with PUT /v1/attributes/{name}, or leave it out",
            field=field,
        )


class AttributeValue(Unprocessable):
    """A value that is not what the declaration says."""

    code, title = "attribute_value", "The value does not fit the attribute's declaration"


class AttributeFilter(Unprocessable):
    """A condition that cannot be read, or that its attribute does not take."""

    code, title = "attribute_filter", "The condition is not acceptable"


class AttributeInUrl(Unprocessable):
    """No personal data in URLs: proxies and browsers keep them."""

    code, title = "attribute_in_url", "Values of contact and sensitive attributes do not belong in a URL"
