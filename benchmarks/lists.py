"""Pages of a large shop, one call at a time: deep pages beside first ones, filters, and what a total costs."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from app.core.pagination import encode_cursor
from app.directory import repository as directory
from app.directory.filters import Filters
from benchmarks import client, handwritten, population, stage
from benchmarks.measure import Figure, Plan, percentile
from benchmarks.stage import Stage, Tenant

_LIST: Final = "/api/youzan.scrm.customer.list/1.0.0"
Timed = Callable[[bytes], Awaitable[float]]  # sends a request, and tells the milliseconds to its answer

TIERS: Final = ("vip", "high_potential", "regular", "at_risk")
_LIMIT: Final = 50
_CURSOR_PAGE: Final = 10_000


def run(plan: Plan) -> list[Figure]:
    """Latencies on one connection: what a page costs, not how many fit in a second."""
    count = plan.population(20_000, 100_000)
    with stage.up(plan) as place:
        tenant = place.run(lambda: _prepare(place, count))
        port = place.serve()
        return place.run(lambda: _measure(place, tenant, port, plan, count))


async def _prepare(place: Stage, count: int) -> Tenant:
    tenant = await place.open_shop("lists")
    people = await population.people(place, tenant, count)
    await population.orders(place, tenant, people, count)
    async with place.owner() as owner:
        await handwritten.rescore(owner, tenant.shop.id, tenant.shop.live_as_of(), tenant.shop.zone.key)
        await owner.execute("truncate domain_events")
    await population.settle(place)
    return tenant


async def _measure(place: Stage, tenant: Tenant, port: int, plan: Plan, count: int) -> list[Figure]:
    calls = 40 if plan.quick else 200
    async with client.connected(port, 1) as (connection,):

        async def timed(request: bytes) -> float:
            begun = time.perf_counter()
            client.checked(await connection.ask(request), b'"name"')
            return (time.perf_counter() - begun) * 1000

        page = min(400, count // 20)
        deep = await _deep_cursor(place, tenant, count)
        return [
            await deep_beside_first(
                f"lists: façade page {page} of 20 beside page 1",
                timed,
                _facade(tenant, {"page_no": page, "page_size": 20}),
                _facade(tenant, {"page_no": 1, "page_size": 20}),
                2.0,
                plan,
                calls,
            ),
            await deep_beside_first(
                f"lists: /v1 cursor page {deep[0]:,} of {_LIMIT} beside page 1",
                timed,
                _v1(tenant, cursor=deep[1]),
                _v1(tenant),
                1.3,
                plan,
                calls,
            ),
            *[
                Figure(
                    f"lists: {name}, p99",
                    [min(taken), max(taken)],
                    "ms",
                    50,
                    higher_is_better=False,
                    value=percentile(taken, 0.99),
                    detail=f"median {median(taken):.1f} ms of {calls} calls, {count:,} customers",
                )
                for name, requests in _filtered(tenant, calls, deep[1]).items()
                if (taken := [await timed(request) for request in requests])
            ],
            *await totals(place, tenant, calls, "lists"),
        ]


async def deep_beside_first(
    name: str,
    timed: Timed,
    deep: bytes,
    first: bytes,
    target: float,
    plan: Plan,
    calls: int,
) -> Figure:
    """Both pages in turns, call by call; a round's ratio is that of its medians."""
    for request in (deep, first) * 5:
        await timed(request)
    ratios, deeps, firsts = [], [], []
    for _ in range(plan.rounds):
        pairs = [(await timed(deep), await timed(first)) for _ in range(calls // 2)]
        deeps.append(median(pair[0] for pair in pairs))
        firsts.append(median(pair[1] for pair in pairs))
        ratios.append(deeps[-1] / firsts[-1])
    return Figure(
        name,
        ratios,
        "×",
        target,
        higher_is_better=False,
        detail=f"{median(deeps):.1f} ms, page 1 {median(firsts):.1f} ms",
    )


def _filtered(tenant: Tenant, calls: int, deep: str) -> dict[str, list[bytes]]:
    """Requests by filter: first pages and deep ones, windows of every place and width."""
    random, now = Random(3), datetime.now(UTC)  # noqa: S311 repeatable, protects nothing

    def window() -> dict[str, Any]:
        start = now - timedelta(days=random.randrange(10, population.YEARS * 365))
        end = start + timedelta(days=random.choice((1, 7, 30, 365)))
        return {"created_from": start.isoformat(), "created_before": end.isoformat()}

    def seconds(name: str) -> dict[str, Any]:
        found = window()
        start, end = (int(datetime.fromisoformat(found[key]).timestamp()) for key in found)
        return {f"{name}_start": start, f"{name}_end": end}

    def either(filters: dict[str, Any]) -> bytes:
        return _v1(tenant, cursor=deep, **filters) if random.random() < 0.5 else _v1(tenant, **filters)

    return {
        "/v1 by tier": [either({"tier": TIERS[n % 4]}) for n in range(calls)],
        "/v1 by store": [either({"store_id": 1 + n % population.STORES}) for n in range(calls)],
        "/v1 by tier and store": [
            either({"tier": TIERS[n % 4], "store_id": 1 + n % population.STORES}) for n in range(calls)
        ],
        "/v1 by created window": [_v1(tenant, **window()) for _ in range(calls)],
        "/v1 by member": [either({"member": ("true", "false")[n % 2]}) for n in range(calls)],
        "/v1 by has_mobile": [either({"has_mobile": ("true", "false")[n % 2]}) for n in range(calls)],
        "façade with total by is_member": [_facade(tenant, {"is_member": n % 2}) for n in range(calls)],
        "façade with total by has_mobile": [_facade(tenant, {"has_mobile": bool(n % 2)}) for n in range(calls)],
        "façade with total by created window": [_facade(tenant, seconds("created_at")) for _ in range(calls)],
        "façade with total by member window": [_facade(tenant, seconds("created_member")) for _ in range(calls)],
    }


async def totals(place: Stage, tenant: Tenant, calls: int, prefix: str, *, expected: int | None = None) -> list[Figure]:
    """The statement behind `total` alone, inside the service's own transaction. `expected`: unfiltered, at least."""
    found = []
    async with place.entry() as entry:
        for name, filters, target in (
            (f"{prefix}: total, unfiltered", Filters(), 1.0),
            (f"{prefix}: total, by member, counted to 10,000", Filters(member=True), None),
        ):
            taken = []
            async with entry.shop(tenant.shop.id) as (db, shop):
                for _ in range(calls):
                    begun = time.perf_counter()
                    told = await directory.total(db, shop.id, filters)
                    taken.append((time.perf_counter() - begun) * 1000)
            if expected is not None and not filters.given() and told < expected:
                raise client.WrongAnswer(f"the total is {told}, and {expected} were loaded")
            found.append(
                Figure(
                    name,
                    [min(taken), max(taken)],
                    "ms",
                    target,
                    higher_is_better=False,
                    value=median(taken),
                    detail=f"median of {calls}",
                )
            )
    return found


async def _deep_cursor(place: Stage, tenant: Tenant, count: int) -> tuple[int, str]:
    """The cursor that page 10,000 starts behind, or a smaller shop's page at four fifths; and the page's number."""
    page = min(_CURSOR_PAGE, count * 4 // 5 // _LIMIT)
    return page, await cursor_of_page(place, tenant.shop.id, page, _LIMIT)


async def cursor_of_page(place: Stage, shop_id: int, page: int, limit: int) -> str:
    """The cursor that a page of an unfiltered list starts behind, made from the row that it follows."""
    async with place.owner() as owner:
        row = await owner.fetchrow(
            """
            select created_at, id from customers where shop_id = $1 and merged_into is null
            order by created_at desc, id desc offset $2 limit 1
            """,
            shop_id,
            (page - 1) * limit - 1,
        )
    return encode_cursor(row["created_at"].isoformat(), row["id"])


def _facade(tenant: Tenant, parameters: dict[str, Any]) -> bytes:
    return client.request("POST", f"{_LIST}?access_token={tenant.token}", orjson.dumps(parameters))


def _v1(tenant: Tenant, **query: Any) -> bytes:
    return client.request("GET", f"/v1/customers?{urlencode({'limit': _LIMIT} | query)}", bearer=tenant.api_key)
