"""What crosses the wire about attributes."""

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from app.attributes.conditions import Operator
from app.attributes.values import NAME, TEXT_LIMIT, Class, Type
from app.uses.schemas import UsedBy

GIVEN_LIMIT: Final = 64
_NAME: Final = re.compile(NAME)
_VALUE: Final = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]}


def _is_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "an attribute's name begins with a-z and takes up to 64 of a-z, 0-9 and _; "
            "declare it with PUT /v1/attributes/<name>"
        )
    return name


def _one_spelling(value: str) -> str:
    """As values are kept."""
    text = unicodedata.normalize("NFC", value.strip())
    if not 0 < len(text) <= TEXT_LIMIT:
        raise ValueError(f"an allowed value has 1 to {TEXT_LIMIT} characters")
    return text


Name = Annotated[str, Path(pattern=NAME)]
AttributeName = Annotated[str, AfterValidator(_is_name)]
Given = Annotated[
    dict[AttributeName, Any],
    Field(
        max_length=GIVEN_LIMIT,
        repr=False,
        description="Declared attributes by name, see PUT /v1/attributes; absent keeps, null removes",
    ),
    WithJsonSchema({"type": "object", "additionalProperties": _VALUE, "maxProperties": GIVEN_LIMIT}),
]


class AttributeWrite(BaseModel):
    """An attribute that the shop keeps of its customers."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    type: Type = Field(description="date: 2026-01-31; datetime: ISO 8601 with a T; choice: one of `allowed_values`")
    class_: Class = Field(
        alias="class",
        description="public; personal; contact: ways to reach a person; sensitive: only where the shop has turned them "
        "on, with a `purpose`. Contact and sensitive values are sealed",
    )
    label: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="How people call it, such as 会员等级"
    )
    allowed_values: (
        Annotated[list[Annotated[str, AfterValidator(_one_spelling)]], Field(min_length=1, max_length=500)] | None
    ) = Field(default=None, description="Of a choice, in the order in which they are shown")
    description: Annotated[str, Field(max_length=500)] | None = None
    purpose: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="What it is collected for"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.type == "choice") != (self.allowed_values is not None):
            raise ValueError("a choice has allowed_values, and nothing else has")
        if self.allowed_values and len(set(self.allowed_values)) < len(self.allowed_values):
            raise ValueError("allowed_values names a value twice")
        if self.class_ == "sensitive" and self.purpose is None:
            raise ValueError("a sensitive attribute names its purpose")
        return self


class AttributeRead(BaseModel):
    """A declared attribute."""

    name: str
    label: str | None
    type: Type
    class_: Class = Field(alias="class")
    allowed_values: list[str] | None
    description: str | None
    purpose: str | None
    created_at: datetime
    updated_at: datetime
    used_by: UsedBy


class AttributePage(BaseModel):
    """Declared attributes in the order of their names."""

    items: list[AttributeRead]
    next_cursor: str | None


class AttributeCondition(BaseModel):
    """A condition on an attribute. Ranges are for numbers and days; of all others one value can be asked for."""

    model_config = ConfigDict(extra="forbid")

    name: AttributeName
    operator: Operator = "="
    value: Annotated[Any, Field(repr=False), WithJsonSchema({"anyOf": _VALUE["anyOf"][:3]})]
