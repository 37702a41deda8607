"""Fields that answer masked unless the serialization context says otherwise, and inputs that refuse masked values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, PlainSerializer, SerializationInfo
from pydantic_core import CoreSchema

from app.core.masks import Kind, looks_masked, mask

__all__ = [
    "AddressField",
    "BirthdayField",
    "Classed",
    "ClassedFields",
    "DisplayNameField",
    "EmailField",
    "IdentifierField",
    "Kind",
    "MobileField",
    "NameField",
    "RemarkField",
    "Unmasked",
    "WechatIdField",
    "looks_masked",
    "mask",
    "masked",
    "refuse_masked",
]

# The one context that shows real values: `model.model_dump_json(context=UNMASK)`. FastAPI passes no context when it
# serializes an answer itself, so a route that returns the model can only answer masked.
UNMASK = {"unmask": True}


@dataclass(frozen=True, slots=True)
class _Masked:
    kind: Kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def show(value: Any, info: SerializationInfo) -> Any:
            if value is None or _may_unmask(info.context):
                return value
            return mask(self.kind, str(value))

        # With the field's own type as return type, the contract documents a masked answer like the plain one.
        return PlainSerializer(show, return_type=source).__get_pydantic_core_schema__(source, handler)


def masked(kind: Kind) -> _Masked:
    """Annotation for a text field of a response: `Annotated[str | None, masked("name")]`."""
    return _Masked(kind)


Scalar: TypeAlias = str | int | float | bool


class Classed(NamedTuple):
    """A value whose field is known only when it is read; `kind` is how it is masked, None: not at all."""

    value: Scalar
    kind: Kind | None


def _show_classed(fields: Mapping[str, Classed], info: SerializationInfo) -> dict[str, Scalar]:
    may = _may_unmask(info.context)
    return {name: value if may or kind is None else mask(kind, str(value)) for name, (value, kind) in fields.items()}


def refuse_masked(value: str) -> str:
    """Validator: a client that reads masked values and writes the record back must not overwrite the real ones."""
    if looks_masked(value):
        raise ValueError("a masked value was sent back; send the real value or leave the field out")
    return value


def _may_unmask(context: Any) -> bool:
    return isinstance(context, Mapping) and context.get("unmask") is True


Unmasked = Annotated[str, AfterValidator(refuse_masked)]

# repr=False: a model that ends up in a log line or a traceback shows none of these.
AddressField = Annotated[str | None, masked("address"), Field(repr=False)]
ClassedFields = Annotated[dict[str, Classed], PlainSerializer(_show_classed), Field(repr=False)]
BirthdayField = Annotated[str | None, masked("birthday"), Field(repr=False)]
DisplayNameField = Annotated[str | None, masked("display_name"), Field(repr=False)]
EmailField = Annotated[str | None, masked("email"), Field(repr=False)]
IdentifierField = Annotated[str | None, masked("identifier"), Field(repr=False)]
MobileField = Annotated[str | None, masked("mobile"), Field(repr=False)]
NameField = Annotated[str | None, masked("name"), Field(repr=False)]
RemarkField = Annotated[str | None, masked("remark"), Field(repr=False)]
WechatIdField = Annotated[str | None, masked("wechat_id"), Field(repr=False)]
