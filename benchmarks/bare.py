"""The bare baseline: what the same rows cost when nothing but FastAPI, orjson and one asyncpg statement touches them.

It runs as a process of its own under the service's uvicorn settings (uvloop, httptools, one process, no access log),
with a pool of the service's size, on the service's migrated schema: same tables, same indexes, same constraints. Each
route reads the raw body, parses it with orjson, runs ONE statement with the raw connection in autocommit, and answers
with orjson. The statement writes or reads the rows that the service writes or reads for the same call: identities,
customers, person keys, change marks, domain events, orders with their items.

It leaves out all that the service adds: authentication, scopes, validation, normalisation, row security (its login
owns the tables and is not subject to policies), transactions of several statements, sealing and masking, limits on
depth and size, request log, metrics, wake-ups. It trusts whatever it is sent. Where the service seals a value, the
baseline stores the plain bytes behind as many zero bytes as a seal adds, so that rows are equally long. Customer
numbers and event ids come from counters in the process, which is cheaper than a sequence and keeps inserts at the
right edge of their indexes.
"""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import asyncpg
import orjson
import typer
import uvicorn
from fastapi import FastAPI, Request, Response

SEAL: Final = bytes(31)  # header, nonce and tag of a sealed value
KEY: Final = bytes(63)  # a wrapped person key
HASH: Final = bytes(32)
POOL_SIZE: Final = 16
FIRST_CUSTOMER: Final = 5_000_000_000  # above whatever was loaded

_PERSON: Final = """
    from identities f
    join customers c on c.shop_id = f.shop_id and c.id = f.customer_id
    join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.id
    left join lateral (
        select i.value, w.wrapped from identities i
        join vault.person_keys w on w.shop_id = i.shop_id and w.customer_id = i.origin_customer_id
        where i.shop_id = c.shop_id and i.customer_id = c.id and i.kind = 'card_no'
        order by i.first_seen_at desc limit 1
    ) card on true
"""
_PERSON_COLUMNS: Final = """
    c.id, c.name, c.mobile, c.remark, c.wei_xin, c.gender, c.birthday, c.area_code, c.store_id, c.source_channel,
    c.member_since, c.created_at, c.updated_at, k.wrapped, card.value as card_no, card.wrapped as card_key
"""
DETAIL: Final = f"""
    select {_PERSON_COLUMNS} {_PERSON} where f.shop_id = $1 and f.kind = 'mobile' and f.value_hash = $2
"""
DETAIL_WITH_ORDERS: Final = f"""
    select {_PERSON_COLUMNS}, b.*
    {_PERSON}
    left join lateral (
        select count(*) as orders, coalesce(sum(o.amount_fen), 0)::bigint as gross_fen, max(o.paid_at) as last_paid_at,
               coalesce(sum(r.refunds), 0)::bigint as refunds, coalesce(sum(r.fen), 0)::bigint as refund_fen
        from orders o
        left join lateral (
            select 1 as refunds, sum(amount_fen) as fen from refunds r
            where r.shop_id = o.shop_id and r.order_no = o.order_no having count(*) > 0
        ) r on true
        where o.shop_id = c.shop_id and o.customer_id = c.id and o.paid_at is not null and o.status <> 'closed'
    ) b on true
    where f.shop_id = $1 and f.kind = 'mobile' and f.value_hash = $2
"""  # noqa: S608 fixed text
LIST: Final = """
    with page as (
        select id, created_at from customers where shop_id = $1
        order by created_at desc, id desc limit $2 offset $3
    )
    select c.id, c.name, c.mobile, c.gender, c.member_since, c.mobile_verified, c.created_at, key.wrapped,
           s.orders, s.net_fen, k.tier, (select customers from customer_totals where shop_id = $1) as total
    from page
    join customers c on c.shop_id = $1 and c.id = page.id
    join vault.person_keys key on key.shop_id = c.shop_id and key.customer_id = c.id
    left join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id
    left join customer_scores k on k.shop_id = c.shop_id and k.customer_id = c.id
    order by page.created_at desc, page.id desc
"""
CREATE: Final = """
    with claimed as (
        insert into identities
            (shop_id, kind, value_hash, customer_id, origin_customer_id, scope, value, first_seen_at, last_seen_at)
        values ($1, 'mobile', $3, $2, $2, '', $4, $9, $9)
        on conflict do nothing returning customer_id
    ),
    added as (
        insert into customers (shop_id, id, name, mobile, gender, area_code, created_at, updated_at, told_at)
        select $1, customer_id, $5, $4, $6, $7, $9, $9, $9 from claimed
    ),
    keyed as (
        insert into vault.person_keys (shop_id, customer_id, wrapped) select $1, customer_id, $8 from claimed
    ),
    changed as (
        insert into customer_changes (shop_id, customer_id, changed_at) select $1, customer_id, $9 from claimed
    ),
    told as (
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select $1, $10, 'customer.created', customer_id, jsonb_build_object('customer_id', customer_id), $9
        from claimed
    )
    select customer_id from claimed
"""
CREATE_MANY: Final = """
    with claimed as (
        insert into identities
            (shop_id, kind, value_hash, customer_id, origin_customer_id, scope, value, first_seen_at, last_seen_at)
        select $1, kind, value_hash, owner, owner, '', value, $2, $2
        from unnest($3::text[], $4::bytea[], $5::bigint[], $6::bytea[]) as t (kind, value_hash, owner, value)
        on conflict do nothing
    ),
    wanted as (
        select * from unnest($7::bigint[], $8::uuid[], $9::bytea[], $10::bytea[], $11::smallint[], $12::text[],
                             $13::bigint[], $14::integer[], $15::text[], $16::text[])
            as t (id, event_id, name, mobile, gender, birthday, store_id, source_channel, member_since, created_at)
    ),
    added as (
        insert into customers
            (shop_id, id, name, mobile, gender, birthday, store_id, source_channel, member_since, created_at,
             updated_at, told_at)
        select $1, id, name, mobile, gender, birthday::date, store_id, source_channel, member_since::timestamptz,
               created_at::timestamptz, $2, $2
        from wanted
        on conflict (shop_id, id) do update set name = excluded.name, updated_at = excluded.updated_at
    ),
    keyed as (
        insert into vault.person_keys (shop_id, customer_id, wrapped) select $1, id, $17 from wanted
        on conflict do nothing
    ),
    changed as (
        insert into customer_changes (shop_id, customer_id, changed_at) select $1, id, $2 from wanted
    ),
    told as (
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select $1, event_id, 'customer.created', id, jsonb_build_object('customer_id', id), $2 from wanted
    )
    select count(*) from wanted
"""
ORDERS: Final = """
    with told as (
        select t.*, i.customer_id
        from unnest($3::text[], $4::bytea[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::bigint[],
                    $10::uuid[])
            as t (order_no, identity_hash, store_id, channel, status, paid_at, amount_fen, event_id)
        join identities i on i.shop_id = $1 and i.kind = 'mobile' and i.value_hash = t.identity_hash
    ),
    written as (
        insert into orders as o
            (shop_id, order_no, customer_id, origin_customer_id, identity_kind, identity_hash, store_id, channel,
             status, paid_at, amount_fen, currency, source_version, payload_hash, received_at)
        select $1, order_no, customer_id, customer_id, 'mobile', identity_hash, store_id, channel, status,
               paid_at::timestamptz, amount_fen, 'CNY', 0, $11, $2
        from told
        on conflict (shop_id, order_no) do update set
            status = excluded.status, amount_fen = excluded.amount_fen, received_at = excluded.received_at
    ),
    lines as (
        insert into order_items (shop_id, order_no, line_no, sku, name, quantity, price_fen)
        select $1, * from unnest($12::text[], $13::integer[], $14::text[], $15::text[], $16::integer[], $17::bigint[])
        on conflict (shop_id, order_no, line_no) do update set quantity = excluded.quantity
    ),
    changed as (
        insert into customer_changes (shop_id, customer_id, changed_at) select distinct $1, customer_id, $2 from told
    ),
    events as (
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select $1, event_id, 'order.paid', customer_id,
               jsonb_build_object('order_no', order_no, 'customer_id', customer_id, 'amount_fen', amount_fen,
                                  'currency', 'CNY', 'store_id', store_id), $2
        from told
    )
    select order_no, customer_id from told
"""
# The key decides whether an event is new, as in the service; whose days are over nobody asks.
EVENTS: Final = """
    with told as (
        select t.*, i.customer_id
        from unnest($3::text[], $4::uuid[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[])
            as t (event_id, id, identity_hash, occurred_at, type, properties, store_id, source)
        join identities i on i.shop_id = $1 and i.kind = 'mobile' and i.value_hash = t.identity_hash
    ),
    claimed as (
        insert into event_keys (shop_id, event_id, id, received_at) select $1, event_id, id, $2 from told
        on conflict do nothing returning event_id
    ),
    written as (
        insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind,
                            identity_hash, type, properties, store_id, source)
        select $1, id, occurred_at::timestamptz, $2, customer_id, customer_id, 'mobile', identity_hash, type,
               properties::jsonb, store_id, source
        from told join claimed using (event_id)
        returning customer_id
    ),
    changed as (
        insert into customer_changes (shop_id, customer_id, changed_at) select distinct $1, customer_id, $2 from written
    )
    select event_id from claimed
"""


def hash_of(value: str) -> bytes:
    """Where the baseline finds an identity: as long as the service's keyed hash."""
    return sha256(value.encode()).digest()


def stored(value: str | None) -> bytes | None:
    """A value as the baseline keeps it: as long as the sealed one."""
    return SEAL + value.encode() if value is not None else None


def shown(value: bytes | None) -> str:
    """The reverse of `stored`; empty for None."""
    return value[len(SEAL) :].decode() if value is not None else ""


class Counters:
    """Numbers and ids that nobody else uses."""

    def __init__(self) -> None:
        self._customers = itertools.count(FIRST_CUSTOMER)
        self._events = itertools.count(uuid4().int >> 32 << 32)

    def customer(self) -> int:
        """The next customer number."""
        return next(self._customers)

    def event(self) -> UUID:
        """The next event id."""
        return UUID(int=next(self._events))


def create_app(database_url: str, shop: int) -> FastAPI:
    """The baseline for one shop."""
    counters = Counters()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(database_url, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/readyz")
    async def ready() -> Response:
        return Response(b"{}")

    @app.post("/detail")
    async def detail(request: Request) -> Response:
        body = orjson.loads(await request.body())
        row = await app.state.pool.fetchrow(DETAIL, shop, hash_of("+86" + body["mobile"]))
        return _json({"code": 200, "data": _person(row)})

    @app.post("/detail-with-orders")
    async def detail_with_orders(request: Request) -> Response:
        body = orjson.loads(await request.body())
        row = await app.state.pool.fetchrow(DETAIL_WITH_ORDERS, shop, hash_of("+86" + body["mobile"]))
        return _json({"code": 200, "data": _person(row) | _behavior(row)})

    @app.post("/list")
    async def list_page(request: Request) -> Response:
        body = orjson.loads(await request.body())
        size = body["page_size"]
        rows = await app.state.pool.fetch(LIST, shop, size, (body["page_no"] - 1) * size)
        return _json({"code": 200, "data": {"total": rows[0]["total"], "record_list": [_line(row) for row in rows]}})

    @app.post("/create")
    async def create(request: Request) -> Response:
        body = orjson.loads(await request.body())
        mobile, profile = "+86" + body["mobile"], body["customer_create"]
        number = await app.state.pool.fetchval(
            CREATE,
            shop,
            counters.customer(),
            hash_of(mobile),
            stored(mobile),
            stored(profile["name"]),
            profile["gender"],
            profile["contact_address"]["area_code"],
            KEY,
            datetime.now(UTC),
            counters.event(),
        )
        return _json({"code": 200, "data": {"account_id": str(number), "account_type": "YouZanAccount"}})

    @app.post("/customers/batch")
    async def customers_batch(request: Request) -> Response:
        rows = orjson.loads(await request.body())["customers"]
        numbers = [counters.customer() for _ in rows]
        claims = [(i["kind"], i["value"], n) for row, n in zip(rows, numbers, strict=True) for i in row["identities"]]
        await app.state.pool.fetchval(
            CREATE_MANY,
            shop,
            datetime.now(UTC),
            [kind for kind, _, _ in claims],
            [hash_of(value) for _, value, _ in claims],
            [number for _, _, number in claims],
            [stored(value) for _, value, _ in claims],
            numbers,
            [counters.event() for _ in rows],
            [stored(row["name"]) for row in rows],
            [stored(row["identities"][0]["value"]) for row in rows],
            [row["gender"] for row in rows],
            [row["birthday"] for row in rows],
            [row["store_id"] for row in rows],
            [row["source_channel"] for row in rows],
            [row["member_since"] for row in rows],
            [row["created_at"] for row in rows],
            KEY,
        )
        return _results(numbers)

    @app.post("/orders/batch")
    async def orders_batch(request: Request) -> Response:
        orders = orjson.loads(await request.body())["orders"]
        lines = [(o["order_no"], n, line) for o in orders for n, line in enumerate(o["items"], 1)]
        rows = await app.state.pool.fetch(
            ORDERS,
            shop,
            datetime.now(UTC),
            [order["order_no"] for order in orders],
            [hash_of("+86" + order["identities"][0]["value"]) for order in orders],
            [order["store_id"] for order in orders],
            [order["channel"] for order in orders],
            [order["status"] for order in orders],
            [order["paid_at"] for order in orders],
            [order["amount_fen"] for order in orders],
            [counters.event() for _ in orders],
            HASH,
            [order_no for order_no, _, _ in lines],
            [number for _, number, _ in lines],
            [line["sku"] for _, _, line in lines],
            [line["name"] for _, _, line in lines],
            [line["quantity"] for _, _, line in lines],
            [line["price_fen"] for _, _, line in lines],
        )
        owners = {row["order_no"]: row["customer_id"] for row in rows}
        return _results([owners[order["order_no"]] for order in orders])

    @app.post("/events/batch")
    async def events_batch(request: Request) -> Response:
        events = orjson.loads(await request.body())["events"]
        ids = [counters.event() for _ in events]
        rows = await app.state.pool.fetch(
            EVENTS,
            shop,
            datetime.now(UTC),
            [event["event_id"] for event in events],
            ids,
            [hash_of("+86" + event["identities"][0]["value"]) for event in events],
            [event["occurred_at"] for event in events],
            [event["type"] for event in events],
            [orjson.dumps(event["properties"]).decode() for event in events],
            [event["store_id"] for event in events],
            [event["source"] for event in events],
        )
        new = {row["event_id"] for row in rows}
        results = [
            {"index": index, "status": "created" if event["event_id"] in new else "duplicate", "id": id_, "error": None}
            for index, (event, id_) in enumerate(zip(events, ids, strict=True))
        ]
        return _json({"results": results, "created": len(new), "duplicate": len(events) - len(new)})

    return app


def _results(numbers: list[int]) -> Response:
    results = [
        {"index": index, "status": "created", "customer_id": number, "error": None}
        for index, number in enumerate(numbers)
    ]
    return _json({"results": results, "created": len(results), "updated": 0, "unchanged": 0, "refused": 0})


def _person(row: Any) -> dict[str, Any]:
    mobile = shown(row["mobile"])
    return {
        "id": row["id"],
        "name": shown(row["name"]),
        "show_name": shown(row["name"]),
        "mobile": mobile[3:],
        "mobile_country_code": mobile[:3],
        "remark": shown(row["remark"]),
        "wei_xin": shown(row["wei_xin"]),
        "gender": row["gender"],
        "birthday": row["birthday"],
        "area_code": row["area_code"],
        "ascription_kdt_id": row["store_id"],
        "source_channel": row["source_channel"],
        "created_at": _milliseconds(row["created_at"]),
        "updated_at": _milliseconds(row["updated_at"]),
        "member_created_at": _milliseconds(row["member_since"]),
        "outer_card_no": shown(row["card_no"]),
    }


def _behavior(row: Any) -> dict[str, Any]:
    return {
        "trade_count": row["orders"],
        "total_trade_amount": row["gross_fen"],
        "last_trade_at": _milliseconds(row["last_paid_at"]),
        "refund_count": row["refunds"],
        "refund_trade_amount": row["refund_fen"],
    }


def _line(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": shown(row["name"]),
        "show_name": shown(row["mobile"])[3:],
        "mobile": shown(row["mobile"])[3:],
        "gender": row["gender"],
        "is_member": int(row["member_since"] is not None),
        "points": 0,
        "trade_count": row["orders"],
        "created_at": _milliseconds(row["created_at"]) // 1000,
        "created_member_at": _milliseconds(row["member_since"]) // 1000,
        "is_mobile_auth": row["mobile_verified"],
    }


def _milliseconds(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1000) if moment else 0


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def main(port: Annotated[int, typer.Option()], shop: Annotated[int, typer.Option()]) -> None:
    """Serve the baseline for one shop of the database in DATABASE_URL, whose login owns the tables."""
    uvicorn.run(
        create_app(os.environ["DATABASE_URL"], shop),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
    )


if __name__ == "__main__":
    typer.run(main)
