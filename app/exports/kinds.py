"""What can be exported: by which key a kind is walked, what narrows it, and what a row of it shows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import text

from app.access.scopes import Scope
from app.access.shops import Shop
from app.core import clock
from app.core.crypto import RootKey
from app.core.db import Row, Statement, statement
from app.customers.records import open_customer, person_key, read_fields
from app.directory.filters import Filters, bound, conditions
from app.exports import schemas
from app.scoring.judging import PREDICTIONS, SCORES
from app.scoring.reading import EXTERNAL
from app.scoring.service import Standing, line

COUNTED_TO: Final = 10_000_000

_CUSTOMER_FILTERS: Final = (
    "created_from",
    "created_before",
    "updated_from",
    "updated_before",
    "tier",
    "store_id",
    "has_mobile",
    "member",
)
# Who is locked is stored and shown to nobody, and who was merged away is somebody else now.
_SCORED: Final = ", ".join([*(f"k.{name}" for name in SCORES), *(f"g.{name}" for name in PREDICTIONS)])
_SHOWN: Final = "c.status = 'active' and c.merged_into is null"
_THERE: Final = "s.since_on < (select k.swept_to from score_clocks k where k.shop_id = s.shop_id)"


class Reading(NamedTuple):
    """What opening a row needs."""

    root: RootKey
    shop: Shop
    standing: Standing


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of export.

    Rows are walked by `key`, their primary key, in its order: so none comes twice, and none that is there all the time
    is passed over, whatever changes or is merged meanwhile. `table` has an alias, with which the key's columns are
    named; `rows` joins to it what is shown. `terms` are the filters; those in `window` bound the walk itself, the
    others only what is written of it, so that every step looks at a limited number of rows.
    """

    line: type[BaseModel]
    table: str
    key: Mapping[str, str]  # column → type
    rows: str
    terms: Mapping[str, str] = field(default_factory=dict)
    window: Mapping[str, str] = field(default_factory=dict)
    shown: str = _SHOWN
    opened: Callable[[Reading, Row], dict[str, Any]] = lambda _, row: dict(row)
    scopes: tuple[Scope, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The names of what a row shows."""
        return list(self.line.model_fields)


def _customer(reading: Reading, row: Row) -> dict[str, Any]:
    fields = read_fields(reading.root, reading.shop, open_customer(reading.shop, row))
    return fields | {name: row[name] for name in ("tier", "orders", "net_fen")}


def _identity(reading: Reading, row: Row) -> dict[str, Any]:
    return dict(row) | {"value": person_key(reading.shop, row).open("identities.value", row["value"])}


def _score(reading: Reading, row: Row) -> dict[str, Any]:
    external = person_key(reading.shop, row).open("identities.value", row["value"]) if row["value"] else None
    as_of, settings, run = reading.standing
    told = {"as_of": as_of, "run_id": run["id"] if run else None, "external_id": external}
    return line(row, as_of, settings) | told


KINDS: Final[dict[str, Kind]] = {
    "customers": Kind(
        line=schemas.CustomerLine,
        table="customers c",
        key={"c.id": "bigint"},
        rows="""
            select c.*, key.wrapped, k.tier, coalesce(s.orders, 0) as orders, coalesce(s.net_fen, 0) as net_fen
            from customers c
            join vault.person_keys key on key.shop_id = c.shop_id and key.customer_id = c.id
            left join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id
            left join customer_scores k on k.shop_id = c.shop_id and k.customer_id = c.id
        """,
        terms=dict.fromkeys(_CUSTOMER_FILTERS, ""),  # in the words of the list of customers
        opened=_customer,
    ),
    "identities": Kind(
        line=schemas.IdentityLine,
        table="identities i",
        key={"i.kind": "text", "i.value_hash": "bytea"},
        rows="""
            select i.customer_id, i.kind, i.value, i.scope, i.first_seen_at, i.origin_customer_id, key.wrapped
            from identities i
            join customers c on c.shop_id = i.shop_id and c.id = i.customer_id
            join vault.person_keys key on key.shop_id = i.shop_id and key.customer_id = i.origin_customer_id
        """,
        terms={"identity_kind": "i.kind = :identity_kind"},
        opened=_identity,
    ),
    "tags": Kind(
        line=schemas.TagLine,
        table="customer_tags a",
        key={"a.customer_id": "bigint", "a.tag_id": "bigint", "a.origin_customer_id": "bigint"},
        rows="""
            select a.customer_id, a.tag_id, a.origin_customer_id, t.name as tag, g.name as category, a.source, a.actor,
                   a.assigned_at, a.valid_until
            from customer_tags a
            join customers c on c.shop_id = a.shop_id and c.id = a.customer_id
            join tags t on t.shop_id = a.shop_id and t.id = a.tag_id
            left join tag_categories g on g.shop_id = t.shop_id and g.id = t.category_id
        """,
        terms={"tag": "t.name = :tag"},
        # Of a merged person's records several may carry the tag; the person does once.
        shown=f"""{_SHOWN} and (a.valid_until is null or a.valid_until > now()) and not exists (
            select from customer_tags b
            where b.shop_id = a.shop_id and b.customer_id = a.customer_id and b.tag_id = a.tag_id
                and b.origin_customer_id < a.origin_customer_id and (b.valid_until is null or b.valid_until > now())
        )""",
    ),
    "consents": Kind(
        line=schemas.ConsentLine,
        table="consents n",
        key={"n.id": "bigint"},
        rows="""
            select n.* from consents n
            join customers c on c.shop_id = n.shop_id and c.id = n.customer_id
        """,
        terms={
            "purpose": "n.purpose = :purpose",
            "channel": "n.channel = :channel",
            "occurred_from": "n.occurred_at >= :occurred_from",
            "occurred_before": "n.occurred_at < :occurred_before",
        },
    ),
    "orders": Kind(
        line=schemas.OrderLine,
        table="orders o",
        key={"o.order_no": "text"},
        rows="""
            select o.*, coalesce(b.fen, 0)::bigint as refund_fen
            from orders o
            join customers c on c.shop_id = o.shop_id and c.id = o.customer_id
            left join lateral (
                select sum(r.amount_fen) as fen from refunds r where r.shop_id = o.shop_id and r.order_no = o.order_no
            ) b on true
        """,
        terms={
            "store_id": "o.store_id = :store_id",
            "channel": "o.channel = :channel",
            "paid_from": "o.paid_at >= :paid_from",
            "paid_before": "o.paid_at < :paid_before",
        },
    ),
    "order_items": Kind(
        line=schemas.OrderItemLine,
        table="order_items l",
        key={"l.order_no": "text", "l.line_no": "integer"},
        rows="""
            select l.*, o.customer_id, o.paid_at
            from order_items l join orders o on o.shop_id = l.shop_id and o.order_no = l.order_no
            join customers c on c.shop_id = o.shop_id and c.id = o.customer_id
        """,
        terms={
            "store_id": "o.store_id = :store_id",
            "paid_from": "o.paid_at >= :paid_from",
            "paid_before": "o.paid_at < :paid_before",
        },
    ),
    "refunds": Kind(
        line=schemas.RefundLine,
        table="refunds r",
        key={"r.refund_no": "text"},
        rows="""
            select r.*, o.customer_id
            from refunds r
            left join orders o on o.shop_id = r.shop_id and o.order_no = r.order_no
            left join customers c on c.shop_id = o.shop_id and c.id = o.customer_id
        """,
        terms={
            "occurred_from": "r.refunded_at >= :occurred_from",
            "occurred_before": "r.refunded_at < :occurred_before",
        },
        shown=f"(o.order_no is null or {_SHOWN})",
    ),
    "events": Kind(
        line=schemas.EventLine,
        table="events v",
        key={"v.id": "uuid"},
        rows="""
            select v.* from events v
            join customers c on c.shop_id = v.shop_id and c.id = v.customer_id
        """,
        terms={
            "type": "v.type = :type",
            "store_id": "v.store_id = :store_id",
            "occurred_from": "v.occurred_at >= :occurred_from",
            "occurred_before": "v.occurred_at < :occurred_before",
        },
        # Whole months: so the months outside are not looked at, and within one no row is passed over unseen.
        window={
            "occurred_from": "v.occurred_at >= date_trunc('month', cast(:occurred_from as timestamptz), 'UTC')",
            "occurred_before": "v.occurred_at < date_trunc('month', cast(:occurred_before as timestamptz), 'UTC') "
            "+ interval '1 month'",
        },
    ),
    "scores": Kind(
        line=schemas.ScoreLine,
        table="customer_stats s",
        key={"s.customer_id": "bigint"},
        rows=f"""
            select s.*, {_SCORED}, e.value, e.origin_customer_id, e.wrapped
            from customer_stats s
            join customers c on c.shop_id = s.shop_id and c.id = s.customer_id
            left join customer_scores k on k.shop_id = s.shop_id and k.customer_id = s.customer_id
            left join customer_predictions g on g.shop_id = s.shop_id and g.customer_id = s.customer_id
            {EXTERNAL}
        """,  # noqa: S608 terms of our own
        terms={"tier": "k.tier = :tier"},
        shown=f"{_SHOWN} and {_THERE}",
        opened=_score,
        scopes=("scores:read",),
    ),
}
_PLACES: Final = {name: [column.partition(".")[2] for column in kind.key] for name, kind in KINDS.items()}


def reached_after(name: str, row: Row) -> list[Any]:
    """The key of a row as JSON can hold it."""
    return [_plain(row[place]) for place in _PLACES[name]]


def count(name: str, filters: Mapping[str, Any]) -> tuple[Statement, dict[str, Any]]:
    """How many rows will be looked at, up to a limit: the statement and what it binds."""
    found = " and ".join(_scanned(name, filters))
    query = _compiled(f"select count(*) from (select 1 from {KINDS[name].table} where {found} limit {COUNTED_TO}) t")  # noqa: S608 ours
    return query, _window_values(name, filters)


def next_keys(name: str, filters: Mapping[str, Any], reached: list[Any] | None) -> tuple[Statement, dict[str, Any]]:
    """The keys behind the one reached; binds `limit` besides."""
    terms = _scanned(name, filters) + ([_beyond(name)] if reached else [])
    key = ", ".join(KINDS[name].key)
    query = _compiled(f"select {key} from {KINDS[name].table} where {' and '.join(terms)} order by {key} limit :limit")  # noqa: S608 ours
    return query, _window_values(name, filters) | _key("after", name, reached)


def rows_through(
    name: str, filters: Mapping[str, Any], reached: list[Any] | None, last: list[Any]
) -> tuple[Statement, dict[str, Any]]:
    """The rows behind the key reached, up to another, that match and are shown."""
    kind = KINDS[name]
    terms = [_shop_term(kind), _through(name), kind.shown] + ([_beyond(name)] if reached else [])
    if name == "customers":
        listed = Filters(**filters)
        terms += conditions(listed)
        values = bound(listed)
    else:
        terms += [kind.terms[given] for given in filters]
        values = dict(filters)
    query = _compiled(f"{kind.rows} where {' and '.join(terms)} order by {', '.join(kind.key)}")
    return query, values | _key("after", name, reached) | _key("last", name, last)


def localised(filters: Mapping[str, Any], shop: Shop) -> dict[str, Any]:
    """Times without a zone are in the shop's."""
    return {
        name: clock.localise(value, shop.zone) if isinstance(value, datetime) else value
        for name, value in filters.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, UUID) else value


@lru_cache(maxsize=512)
def _compiled(sql: str) -> Statement:
    return statement(text(sql))


def _scanned(name: str, filters: Mapping[str, Any]) -> list[str]:
    kind = KINDS[name]
    return [_shop_term(kind), *(term for given, term in kind.window.items() if given in filters)]


def _window_values(name: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    return {given: filters[given] for given in KINDS[name].window if given in filters}


def _shop_term(kind: Kind) -> str:
    return f"{kind.table.partition(' ')[2]}.shop_id = :shop_id"


def _beyond(name: str) -> str:
    return _compared(name, ">", "after")


def _through(name: str) -> str:
    return _compared(name, "<=", "last")


def _compared(name: str, sign: str, prefix: str) -> str:
    """A row comparison, which walks the primary key's index: every operator in it is leakproof."""
    parts = [f"cast(:{prefix}_{number} as {kind})" for number, kind in enumerate(KINDS[name].key.values())]
    key = KINDS[name].key
    return (
        f"({', '.join(key)}) {sign} ({', '.join(parts)})" if len(parts) > 1 else f"{next(iter(key))} {sign} {parts[0]}"
    )


def _key(prefix: str, name: str, reached: list[Any] | None) -> dict[str, Any]:
    if reached is None:
        return {}
    types = KINDS[name].key.values()
    return {
        f"{prefix}_{number}": bytes.fromhex(value) if type_ == "bytea" else value
        for number, (value, type_) in enumerate(zip(reached, types, strict=True))
    }


def unknown(name: str, columns: list[str] | None, filters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a kind does not have, as field and remedy."""
    kind = KINDS[name]
    for column in columns or ():
        if column not in kind.line.model_fields:
            yield "columns", f"{name} have no such column; they have {', '.join(kind.columns)}"
    for given in filters:
        if given not in kind.terms:
            yield f"filters.{given}", f"{name} are narrowed by {', '.join(kind.terms)} only"
