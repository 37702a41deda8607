"""What crosses the wire about customers."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from app.access.schemas import StoreId
from app.attributes.schemas import Given
from app.core.clock import Moment
from app.core.masking import (
    AddressField,
    BirthdayField,
    ClassedFields,
    IdentifierField,
    MobileField,
    NameField,
    RemarkField,
    Unmasked,
    WechatIdField,
    refuse_masked,
)
from app.customers.normalise import IdentityKind, normalise

BATCH_LIMIT = 1000

CustomerId = Annotated[int, Path(ge=1, lt=2**53)]


def _not_stars(value: str) -> str:
    """A remark may well contain a star; one of nothing else is our own mask coming back."""
    return refuse_masked(value) if value and not value.strip("*") else value


class IdentityWrite(BaseModel):
    """One way to recognise a person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: IdentityKind
    value: str = Field(min_length=1, max_length=256)
    scope: str = Field(
        default="", max_length=64, description="appid of an openid, system of an external id, marketplace of a token"
    )
    verified: bool = Field(
        default=False, description="The sender has proof that it is this person's: a code by SMS, a login"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("value"), str) and isinstance(data.get("kind"), str):
            spelled = normalise(data["kind"], data["value"])
            return data if spelled == data["value"] else data | {"value": spelled}
        return data


def names(identities: Sequence[IdentityWrite]) -> tuple[tuple[str, str, str, bool], ...]:
    """The identities as a key: their values say less, and are compared sooner, than the models do."""
    return tuple([(identity.kind, identity.scope, identity.value, identity.verified) for identity in identities])


Identities = Annotated[list[IdentityWrite], Field(min_length=1, max_length=20)]


class CustomerUpdate(BaseModel):
    """Absent keeps, null clears."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Unmasked, Field(max_length=100)] | None = None
    gender: int | None = Field(default=None, ge=0, le=2, description="0 unknown, 1 male, 2 female")
    birthday: date | None = None
    area_code: str | None = Field(default=None, pattern=r"^\d{6}$")
    address: Annotated[Unmasked, Field(max_length=500)] | None = None
    remark: Annotated[str, Field(max_length=2000), AfterValidator(_not_stars)] | None = None
    wei_xin: Annotated[Unmasked, Field(max_length=64)] | None = None
    store_id: StoreId | None = None
    source_channel: int | None = Field(default=None, ge=0, le=99_999)
    source_way: int | None = Field(default=None, ge=0, le=99_999)
    mobile_verified: bool | None = None
    member_since: Moment | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.birthday is not None and not date(1900, 1, 1) <= self.birthday <= datetime.now(UTC).date():
            raise ValueError("birthday must lie between 1900-01-01 and today")
        return self

    def given(self) -> dict[str, Any]:
        """The profile fields that were sent, nulls included."""
        sent, values = self.model_fields_set, self.__dict__
        return {name: values[name] for name in PROFILE_FIELDS if name in sent}


class CustomerCreate(CustomerUpdate):
    """A customer by the identities that the caller knows: created, or found by any of them."""

    identities: Identities
    created_at: Moment | None = Field(default=None, description="When they became a customer, for history; default now")
    attributes: Given = Field(default_factory=dict, json_schema_extra={"default": {}})  # a plain one is copied deeply


class CustomerPatch(CustomerUpdate):
    """Changes, and identities to add."""

    identities: Annotated[list[IdentityWrite], Field(max_length=20)] = []
    attributes: Given = {}


PROFILE_FIELDS = tuple(CustomerUpdate.model_fields)


class IdentityRead(BaseModel):
    """An identity as kept."""

    kind: str
    value: IdentifierField
    scope: str
    source: str = Field(description="Who told of it first")
    first_seen_at: datetime
    last_seen_at: datetime = Field(description="To the day")
    verified_at: datetime | None
    active: bool = Field(description="False: one of the person's former ones, kept as history")


class CustomerRead(BaseModel):
    """A customer. Personal fields are masked unless the caller holds `pii:read`."""

    id: int
    open_id: str
    name: NameField
    mobile: MobileField
    gender: int
    birthday: BirthdayField
    area_code: str | None
    address: AddressField
    remark: RemarkField
    wei_xin: WechatIdField
    store_id: int | None
    source_channel: int | None
    source_way: int | None
    mobile_verified: bool
    member_since: datetime | None
    status: str
    version: int
    created_at: datetime
    updated_at: datetime


class CustomerWritten(CustomerRead):
    """A customer as a write left them."""

    merge_conflicts: list[UUID] = Field(
        description="The write named someone else too, and the policy keeps the two apart: see GET /v1/merge-conflicts"
    )


class IdentitiesWrite(BaseModel):
    """Identities to add to a customer."""

    model_config = ConfigDict(extra="forbid")

    identities: Identities


class IdentityRemoval(BaseModel):
    """An identity that is to be nobody's."""

    model_config = ConfigDict(extra="forbid")

    identity: IdentityWrite


class CustomerIdentities(BaseModel):
    """What identifies a customer, oldest first."""

    customer_id: int
    items: list[IdentityRead]


class FieldProvenance(BaseModel):
    """Who told of a field, when, and in which of the person's records."""

    told_at: datetime
    told_by: str
    customer_id: int


class CustomerDetail(CustomerRead):
    """A customer with what identifies them and what the shop declares."""

    identities: list[IdentityRead]
    attributes: ClassedFields


class CustomerBatch(BaseModel):
    """Up to 1,000 customers; each row stands alone: a bad one is refused and the others are kept."""

    model_config = ConfigDict(extra="forbid")

    customers: Annotated[
        list[Any],
        Field(min_length=1, max_length=BATCH_LIMIT),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/CustomerCreate"},
                "minItems": 1,
                "maxItems": BATCH_LIMIT,
            }
        ),
    ]


class Lookup(BaseModel):
    """Any one identity."""

    model_config = ConfigDict(extra="forbid")

    identity: IdentityWrite
