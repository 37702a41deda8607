"""What crosses the wire about events and their types."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    StringConstraints,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from app.access.schemas import StoreId
from app.core.clock import Moment
from app.customers.batches import RowError
from app.customers.schemas import BATCH_LIMIT, Identities
from app.events.declarations import NAME, Kind, is_tellable, kind_of
from app.uses.schemas import UsedBy

PROPERTIES_LIMIT: Final = 50
PROPERTIES_BYTES: Final = 8192

EventId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
TypeName = Annotated[str, StringConstraints(max_length=64, pattern=NAME)]
Source = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]


def _without_nulls(properties: dict[str, Any]) -> dict[str, Any]:
    """What is kept. Raises ValueError for more than an event may carry."""
    if len(properties) > PROPERTIES_LIMIT:
        raise ValueError(f"an event carries up to {PROPERTIES_LIMIT} properties")
    if len(orjson.dumps(properties)) > PROPERTIES_BYTES:
        raise ValueError(f"the properties of an event take up to {PROPERTIES_BYTES} bytes as JSON")
    if None not in properties.values():
        return properties
    return {name: value for name, value in properties.items() if value is not None}


def _shown(properties: dict[str, Any], info: SerializationInfo) -> dict[str, Any]:
    """As they are to who may see personal fields, because nobody knows what is in them; to others their kinds."""
    if isinstance(info.context, dict) and info.context.get("unmask") is True:
        return properties
    return {name: kind_of(value) for name, value in properties.items() if is_tellable(name)}


def _known(raw: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Whoever is named in the same words in one batch is read once. Context: what was read so far, or None."""
    if info.context is None:
        return validate(raw)
    words = orjson.dumps(raw)
    found = info.context.get(words)
    if found is None:
        found = info.context[words] = validate(raw)
    return found


class EventWrite(BaseModel):
    """What somebody did. An unknown person becomes a customer, without a name until they give one."""

    model_config = ConfigDict(extra="forbid")

    event_id: EventId = Field(description="made once by the sender, and sent again with every retry")
    type: TypeName
    identities: Annotated[Identities, WrapValidator(_known)] = Field(description="the surest one first")
    occurred_at: Moment = Field(description="by the sender's clock; without a zone: in the shop's")
    properties: Annotated[dict[str, Any], AfterValidator(_without_nulls)] = {}
    store_id: StoreId | None = None
    source: Source | None = Field(default=None, description="what sent it: a site, an app")


class EventBatch(BaseModel):
    """Up to 1,000 events; each stands alone: a bad one is refused and the others are kept."""

    model_config = ConfigDict(extra="forbid")

    events: Annotated[
        list[Any],
        Field(min_length=1, max_length=BATCH_LIMIT),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/EventWrite"},
                "minItems": 1,
                "maxItems": BATCH_LIMIT,
            }
        ),
    ]


class EventResult(BaseModel):
    """What became of an event: created, duplicate, or invalid: kept aside, and `error` says why.

    It does not say whose it is: who may only send events is not to find out about people.
    """

    status: Literal["created", "duplicate", "invalid", "refused"]
    id: UUID | None = Field(default=None, description="of what is kept; of a duplicate, what was kept first")
    error: RowError | None = None


class EventRowResult(EventResult):
    """What became of one row: as for one event, or refused because it cannot be kept at all."""

    index: int


class EventBatchResult(BaseModel):
    """What became of each row, in the order they were sent."""

    results: list[EventRowResult]
    created: int
    duplicate: int
    invalid: int
    refused: int


class InvalidEventRead(BaseModel):
    """An event that is kept aside, and why."""

    id: UUID
    event_id: str
    state: Literal["invalid"] = "invalid"
    reason: RowError
    type: str
    occurred_at: datetime
    claimed_at: datetime | None
    received_at: datetime
    customer_id: int
    properties: Annotated[
        dict[str, Any],
        PlainSerializer(_shown),
        Field(repr=False, description="the values with `pii:read`; otherwise what kind of value each is"),
    ]
    store_id: int | None
    source: str | None


class InvalidEventPage(BaseModel):
    """Events that are kept aside, newest first."""

    items: list[InvalidEventRead]
    next_cursor: str | None


class ReplayResult(BaseModel):
    """How the event stands now: valid and among the others, or still invalid and why."""

    id: UUID
    state: Literal["valid", "invalid"]
    reason: RowError | None


class DeclaredProperty(BaseModel):
    """What a property holds."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = Field(description="date: 2026-01-31; datetime: ISO 8601 with a T")
    required: bool = False


class EventTypeWrite(BaseModel):
    """A type of event that the shop declares: every property that it may carry."""

    model_config = ConfigDict(extra="forbid")

    properties: Annotated[dict[TypeName, DeclaredProperty], Field(max_length=PROPERTIES_LIMIT)] = {}


class EventTypeRead(BaseModel):
    """A declared type."""

    type: str
    properties: dict[str, DeclaredProperty]
    created_at: datetime
    updated_at: datetime
    used_by: UsedBy


class EventTypePage(BaseModel):
    """Declared types in the order of their names, and those that every shop has."""

    items: list[EventTypeRead]
    built_in: list[str]
    next_cursor: str | None
