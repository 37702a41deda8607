"""A customer between row and wire: which columns there are, which of them are sealed, and how a row is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import itemgetter
from typing import Any, Final

from app.access.shops import Shop
from app.core.crypto import PersonKey, RootKey
from app.core.db import Row
from app.customers.policy import limit
from app.customers.schemas import CustomerRead, FieldProvenance, IdentityRead

# The profile, in the order in which statements carry it as arrays.
COLUMNS: Final[dict[str, str]] = {
    "name": "bytea",
    "mobile": "bytea",
    "address": "bytea",
    "remark": "bytea",
    "wei_xin": "bytea",
    "gender": "smallint",
    "birthday": "date",
    "area_code": "text",
    "store_id": "bigint",
    "source_channel": "integer",
    "source_way": "integer",
    "mobile_verified": "boolean",
    "member_since": "timestamptz",
}
SEALED: Final = ("name", "mobile", "address", "remark", "wei_xin")  # the first of COLUMNS
_PLACES: Final = {name: f"customers.{name}" for name in SEALED}
_plain: Final = itemgetter(*(name for name in COLUMNS if name not in SEALED))
EMPTY: Final[dict[str, Any]] = dict.fromkeys(COLUMNS) | {"gender": 0, "mobile_verified": False}

Profile = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Customer:
    """An opened customer row."""

    id: int
    profile: Profile
    status: str
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def mobile(self) -> str | None:
        """E.164, or None."""
        value: str | None = self.profile["mobile"]
        return value

    @property
    def birthday(self) -> date | None:
        """The day they were born."""
        value: date | None = self.profile["birthday"]
        return value


def open_profile(key: PersonKey, row: Mapping[str, Any]) -> Profile:
    """The profile columns with the sealed ones opened."""
    profile = {name: row[name] for name in COLUMNS}
    for name in SEALED:
        if profile[name] is not None:
            profile[name] = key.open(f"customers.{name}", profile[name])
    return profile


def seal_profile(key: PersonKey, profile: Profile) -> list[Any]:
    """The profile as column values in the order of COLUMNS."""
    return [*key.seal_all([(place, profile[name]) for name, place in _PLACES.items()]), *_plain(profile)]


def person_key(shop: Shop, row: Row) -> PersonKey:
    """The key of the person whom an identity came in for."""
    return shop.keys.person(row["origin_customer_id"], row["wrapped"])


def open_customer(shop: Shop, row: Row) -> Customer:
    """A customer from its row joined with its wrapped key."""
    return Customer(
        id=row["id"],
        profile=open_profile(shop.keys.person(row["id"], row["wrapped"]), row),
        status=row["status"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def provenance(row: Row) -> dict[str, FieldProvenance]:
    """Whose word each field of a customer's row is, of those that are not empty."""
    default = row["told_at"].isoformat(), row["told_by"], row["id"]
    found = {}
    for name in COLUMNS:
        if name != "mobile_verified" and row[name] not in (None, EMPTY[name]):
            told_at, told_by, customer_id = row["told"].get(name, default)
            found[name] = FieldProvenance(told_at=told_at, told_by=told_by, customer_id=customer_id)
    return found


def read_model(root: RootKey, shop: Shop, customer: Customer) -> CustomerRead:
    """The customer as /v1 shows it; masking happens when it is serialised."""
    return CustomerRead(**read_fields(root, shop, customer))


def read_fields(root: RootKey, shop: Shop, customer: Customer) -> dict[str, Any]:
    """The fields of CustomerRead."""
    return customer.profile | {
        "birthday": customer.birthday.isoformat() if customer.birthday else None,
        "id": customer.id,
        "open_id": root.open_id(shop.id, customer.id),
        "status": customer.status,
        "version": customer.version,
        "created_at": customer.created_at,
        "updated_at": customer.updated_at,
    }


def open_identities(shop: Shop, rows: Sequence[Row], mobile: str | None = None) -> list[IdentityRead]:
    """Identities from their rows, oldest first, joined with the wrapped key of the person they came in for.

    Args:
        mobile: the one that the profile shows: it is the active one, however many came after.
    """
    values = [person_key(shop, row).open("identities.value", row["value"]) for row in rows]
    active = _active(shop, rows, values, mobile)
    return [
        IdentityRead(
            kind=row["kind"],
            value=value,
            scope=row["scope"],
            source=row["source"],
            first_seen_at=row["first_seen_at"],
            last_seen_at=row["last_seen_at"],
            verified_at=row["verified_at"],
            active=index in active,
        )
        for index, (row, value) in enumerate(zip(rows, values, strict=True))
    ]


def _active(shop: Shop, rows: Sequence[Row], values: Sequence[str], mobile: str | None) -> set[int]:
    """Which of the identities a person has now: the newest, as many of a kind and scope as the policy allows."""
    room: dict[tuple[str, str], int] = {}
    active = set()
    newest_first = sorted(
        range(len(rows)), key=lambda i: (values[i] == mobile, rows[i]["first_seen_at"], i), reverse=True
    )
    for index in newest_first:
        place = rows[index]["kind"], rows[index]["scope"]
        left = room.get(place, limit(shop.settings.identity_policy, *place))
        if left > 0:
            active.add(index)
        room[place] = left - 1
    return active
