"""The façade's reads where one statement must bring what two of the house's own would: a customer by account."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import text

from app.access.shops import Shop
from app.core.db import Connection, Row, Statement, statement
from app.customers import records
from app.customers.records import Customer
from app.customers.repository import get_many
from app.customers.schemas import IdentityWrite
from app.customers.service import value_hash
from app.directory.repository import OrderFigures, figures_of

_BESIDE: Final = """
    join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.id
    left join lateral (
        select i.value, i.origin_customer_id, w.wrapped
        from identities i
        join vault.person_keys w on w.shop_id = i.shop_id and w.customer_id = i.origin_customer_id
        where i.shop_id = c.shop_id and i.customer_id = c.id and i.kind = :beside
        order by i.first_seen_at desc, i.value_hash
        limit 1
    ) b on true
"""
_COLUMNS: Final = """
    c.*, {record} as record, k.wrapped,
    b.value as beside_value, b.origin_customer_id as beside_origin, b.wrapped as beside_wrapped
"""

_FIGURES: Final = tuple(field.name for field in fields(OrderFigures))
_BOUGHT: Final = f"left join lateral ({figures_of('c.shop_id', 'c.id')}) g on true"


def _find(source: str, condition: str, record: str, *, figures: bool = False) -> Statement:
    columns, joins = _COLUMNS.format(record=record), _BESIDE
    if figures:
        columns, joins = f"{columns}, {', '.join(f'g.{name} as figures_{name}' for name in _FIGURES)}", joins + _BOUGHT
    return statement(text(f"select {columns} from {source} {joins} where {condition}"))  # noqa: S608 terms of our own


# By whether the order figures are wanted too.
_NUMBERED: Final = "customers c", "c.shop_id = :shop_id and c.id = :id", "c.id"
BY_ID: Final = {wanted: _find(*_NUMBERED, figures=wanted) for wanted in (False, True)}
_IDENTIFIED: Final = (
    "identities f join customers c on c.shop_id = f.shop_id and c.id = f.customer_id",
    "f.shop_id = :shop_id and f.kind = :kind and f.value_hash = :value_hash",
    "f.origin_customer_id",
)
BY_IDENTITY: Final = {wanted: _find(*_IDENTIFIED, figures=wanted) for wanted in (False, True)}
BY_MOBILES = statement(
    text(
        """
        select f.value_hash, c.*, k.wrapped
        from identities f
        join customers c on c.shop_id = f.shop_id and c.id = f.customer_id
        join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.id
        where f.shop_id = :shop_id and f.kind = 'mobile' and f.value_hash = any(cast(:hashes as bytea[]))
            and c.status <> 'erased'
        """
    )
)
VALUES_OF = statement(
    text(
        """
        select i.customer_id, i.kind, i.value, i.origin_customer_id, k.wrapped
        from identities i
        join vault.person_keys k on k.shop_id = i.shop_id and k.customer_id = i.origin_customer_id
        where i.shop_id = :shop_id and i.customer_id = any(cast(:ids as bigint[]))
            and i.kind = any(cast(:kinds as text[]))
        order by i.first_seen_at, i.value_hash
        """
    )
)
PRESENT = statement(
    text(
        """
        select t.position, c.id
        from unnest(cast(:kinds as text[]), cast(:hashes as bytea[]), cast(:ids as bigint[]))
            with ordinality as t (kind, value_hash, id, position)
        left join identities i on i.shop_id = :shop_id and i.kind = t.kind and i.value_hash = t.value_hash
        join customers c on c.shop_id = :shop_id and c.id = coalesce(t.id, i.origin_customer_id)
        where c.status <> 'erased'
        """
    )
)


@dataclass(frozen=True, slots=True)
class Found:
    """A customer, with what was asked for beside: the newest identity of a kind, the order figures.

    `record`: what is told of the person by this account belongs to that record of theirs.
    """

    customer: Customer
    record: int
    beside: str | None
    figures: OrderFigures | None

    @property
    def gone(self) -> bool:
        """Logged off: the person was erased, and the number stays."""
        return self.customer.status == "erased"


async def find_by_id(
    db: Connection, shop: Shop, customer_id: int, *, beside: str = "", figures: bool = False
) -> Found | None:
    """The shop's customer with that number, or None."""
    if customer_id >= 2**53:
        return None
    row = await db.fetch_one(BY_ID[figures], shop_id=shop.id, id=customer_id, beside=beside)
    if row is not None and row["merged_into"] is not None:
        row = await db.fetch_one(BY_ID[figures], shop_id=shop.id, id=row["merged_into"], beside=beside)
    return _found(shop, row, record=customer_id)


async def find_by_identity(
    db: Connection, shop: Shop, identity: IdentityWrite, *, beside: str = "", figures: bool = False
) -> Found | None:
    """The customer who holds an identity, or None."""
    row = await db.fetch_one(
        BY_IDENTITY[figures], shop_id=shop.id, kind=identity.kind, value_hash=value_hash(shop, identity), beside=beside
    )
    return _found(shop, row)


async def customers_by_id(db: Connection, shop: Shop, customer_ids: Sequence[int]) -> dict[int, Customer]:
    """Those of the shop's customers who are still there, by the number asked for."""
    rows = await get_many(db, shop.id, customer_ids)
    return {row["asked"]: records.open_customer(shop, row) for row in rows if row["status"] != "erased"}


async def customers_by_mobile(db: Connection, shop: Shop, mobiles: Sequence[IdentityWrite]) -> dict[str, Customer]:
    """Who holds these mobiles, by the mobile in E.164."""
    asked = {value_hash(shop, identity): identity.value for identity in mobiles}
    rows = await db.fetch(BY_MOBILES, shop_id=shop.id, hashes=list(asked))
    return {asked[row["value_hash"]]: records.open_customer(shop, row) for row in rows}


async def values_of(
    db: Connection, shop: Shop, customer_ids: Sequence[int], kinds: Sequence[str]
) -> dict[int, dict[str, list[str]]]:
    """The identities of each customer by kind, oldest first; customers and kinds without any are left out."""
    found: dict[int, dict[str, list[str]]] = {}
    for row in await db.fetch(VALUES_OF, shop_id=shop.id, ids=list(customer_ids), kinds=list(kinds)):
        value = records.person_key(shop, row).open("identities.value", row["value"])
        found.setdefault(row["customer_id"], {}).setdefault(row["kind"], []).append(value)
    return found


async def present(db: Connection, shop: Shop, meant: Sequence[IdentityWrite | int | None]) -> list[int | None]:
    """The number of the record with each identity or number, None in the place of who is not there or logged off."""
    identities = [one if isinstance(one, IdentityWrite) else None for one in meant]
    rows = await db.fetch(
        PRESENT,
        shop_id=shop.id,
        kinds=[identity.kind if identity else None for identity in identities],
        hashes=[value_hash(shop, identity) if identity else None for identity in identities],
        ids=[one if isinstance(one, int) and one < 2**53 else None for one in meant],
    )
    found = {row["position"]: row["id"] for row in rows}
    return [found.get(position) for position in range(1, len(meant) + 1)]


async def fans_ids(db: Connection, shop: Shop, customer_ids: Sequence[int]) -> dict[int, int]:
    """The newest fan number of each customer who has one."""
    held = await values_of(db, shop, customer_ids, ["fans_id"])
    return {customer_id: fans_number(values["fans_id"][-1]) for customer_id, values in held.items()}


def fans_number(value: str | None) -> int:
    """A fan number as clients read it; 0 for none, and for one beyond their 64 bits."""
    return int(value) if value and value.isdecimal() and len(value) < 19 else 0


def _found(shop: Shop, row: Row | None, record: int | None = None) -> Found | None:
    if row is None:
        return None
    beside = None
    if row["beside_value"] is not None:
        key = shop.keys.person(row["beside_origin"], row["beside_wrapped"])
        beside = key.open("identities.value", row["beside_value"])
    figures = {name: row[f"figures_{name}"] for name in _FIGURES} if "figures_orders" in row else None
    bought = OrderFigures(**figures) if figures else None
    return Found(records.open_customer(shop, row), record or row["record"], beside, bought)
