"""What a list of customers can be narrowed by, and which index walk answers it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.attributes.conditions import Condition, where
from app.attributes.conditions import bound as attributes_bound


@dataclass(frozen=True, slots=True)
class Filters:
    """All given ones must hold. `_from` is inclusive, `_before` exclusive; `any_tag` is one of these at least."""

    created_from: datetime | None = None
    created_before: datetime | None = None
    updated_from: datetime | None = None
    updated_before: datetime | None = None
    member_from: datetime | None = None
    member_before: datetime | None = None
    tier: str | None = None
    store_id: int | None = None
    has_mobile: bool | None = None
    member: bool | None = None
    any_tag: tuple[int, ...] | None = None
    attributes: tuple[Condition, ...] | None = None

    @property
    def by_tag(self) -> bool:
        """Whether the tags' own index walks the rows wanted: they are asked for, and nothing that is narrower."""
        return self.any_tag is not None and not self.given().keys() - {"any_tag", "has_mobile", "member"}

    def given(self) -> dict[str, Any]:
        """The filters that are set."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


class Order(NamedTuple):
    """Newest first by this instant, then by number: a column of `customers`, or of the tier's own index."""

    instant: str
    number: str


BY_CREATION: Final = Order("c.created_at", "c.id")
BY_UPDATE: Final = Order("c.updated_at", "c.id")
BY_MEMBERSHIP: Final = Order("c.member_since", "c.id")
BY_TIER: Final = Order("k.created_at", "k.customer_id")

# Every operator is leakproof: behind row security only those reach an index.
_CONDITIONS: Final = {
    "created_from": "{created} >= :created_from",
    "created_before": "{created} < :created_before",
    "updated_from": "c.updated_at >= :updated_from",
    "updated_before": "c.updated_at < :updated_before",
    "member_from": "c.member_since >= :member_from",
    "member_before": "c.member_since < :member_before",
    "tier": "k.shop_id = :shop_id and k.tier = :tier",
    "store_id": "c.store_id = :store_id",
    "any_tag": """exists (
        select from customer_tags a
        where a.shop_id = :shop_id and a.customer_id = c.id and a.tag_id = any(cast(:any_tag as bigint[]))
            and (a.valid_until is null or a.valid_until > now())
    )""",
}


def order_of(filters: Filters) -> Order:
    """The order whose index walks the rows wanted: changes by change, new members by membership, others by creation."""
    if filters.tier is not None:
        return BY_TIER
    if filters.updated_from is not None or filters.updated_before is not None:
        return BY_UPDATE
    if filters.member_from is not None or filters.member_before is not None:
        return BY_MEMBERSHIP
    return BY_CREATION


def conditions(filters: Filters) -> Iterator[str]:
    """The WHERE terms of the given filters on `customers c`; values stay bound. Nobody is shown who is merged.

    The tier is a term on `customer_scores k`.
    """
    yield "c.merged_into is null"
    # The tier's index holds the creation too: looked at in `customers`, it would take a probe for each of the tier.
    created = BY_TIER.instant if filters.tier is not None else BY_CREATION.instant
    for name, value in filters.given().items():
        if name == "has_mobile":
            yield f"c.mobile is {'not null' if value else 'null'}"
        elif name == "member":
            yield f"c.member_since is {'not null' if value else 'null'}"
        elif name == "attributes":
            yield from where(value, "c.id")
        else:
            yield _CONDITIONS[name].format(created=created)


def bound(filters: Filters) -> dict[str, Any]:
    """The values that the terms bind."""
    values = {name: value for name, value in filters.given().items() if name in _CONDITIONS}
    return values | attributes_bound(filters.attributes or ())
