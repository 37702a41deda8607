"""The façade's calls beside the bare baseline: detail, create, and a list page of 50."""

import itertools
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

import orjson

from benchmarks import client, handwritten, population, stage
from benchmarks.measure import Figure, Plan, Sample, Side, ratio_figure, take_turns
from benchmarks.stage import Stage, Tenant

_API: Final = "/api/youzan.scrm.customer."
NEW_MOBILES: Final = 15_500_000_000  # nobody who was loaded has one from there on


def run(plan: Plan) -> list[Figure]:
    """Rates of each call as a share of the bare ones."""
    with stage.up(plan) as place:
        ours, bare, people = place.run(lambda: _prepare(place, plan.population(5_000, 50_000)))
        service_port, bare_port = place.serve(), place.serve_bare(bare.shop.id)
        random, mobiles = Random(1), itertools.count(NEW_MOBILES)  # noqa: S311 repeatable, protects nothing
        pages = people.count // 50

        def known() -> dict[str, str]:
            return {"mobile": people.with_mobile(random)}

        def detail(fields: str) -> Callable[[], bytes]:
            def make() -> bytes:
                account = {"account_type": "2", "account_id": people.with_mobile(random)}
                return _call(ours, "detail.get/1.0.1", {"account_info": account, "fields": fields})

            return make

        def create() -> dict[str, object]:
            return {
                "mobile": str(next(mobiles)),
                "customer_create": {"name": "王雨桐", "gender": 2, "contact_address": {"area_code": "310104"}},
            }

        def page() -> dict[str, int]:
            return {"page_no": 1 + random.randrange(min(pages, 200)), "page_size": 50}

        cases: list[tuple[str, float, Callable[[], bytes], Callable[[], bytes]]] = [
            ("detail", 0.45, detail("user_base"), lambda: _post("/detail", known())),
            (
                "detail with orders",
                0.45,
                detail("user_base,behavior"),
                lambda: _post("/detail-with-orders", known()),
            ),
            ("create", 0.45, lambda: _call(ours, "create/3.0.0", create()), lambda: _post("/create", create())),
            (
                "list page of 50",
                0.33,
                lambda: _call(ours, "list/1.0.0", page()),
                lambda: _post("/list", page()),
            ),
        ]
        figures = []
        for name, target, real, plain in cases:
            service = side(place, "service", service_port, real, b'"code":200,')
            baseline = side(place, "bare", bare_port, plain, b'"code":200,')
            rounds = place.run(partial(take_turns, service, baseline, plan))
            figures.append(ratio_figure(f"facade: {name}", rounds, target, "calls"))
        return figures


def side(
    place: Stage,
    name: str,
    port: int,
    make: Callable[[], bytes],
    marker: bytes,
    *,
    work: int = 1,
    connections: int = client.CONNECTIONS,
) -> Side:
    """One side of a comparison: so many connections, each answer worth so much work."""

    async def measure(seconds: float) -> Sample:
        async with client.connected(port, connections) as opened:
            before = place.cpu(name)
            latencies, elapsed = await client.drive(opened, make, marker, seconds)
            after = place.cpu(name)
        cpu = {part: after[part] - before[part] for part in after}
        return Sample(len(latencies) * work, elapsed, cpu)

    return measure


async def _prepare(place: Stage, count: int) -> tuple[Tenant, Tenant, population.People]:
    """Two shops with the same people, orders and scores: one sealed, one plain."""
    ours, bare = await place.open_shop("service"), await place.open_shop("bare")
    people = await population.people(place, ours, count)
    plain = await population.people(place, bare, count, writer=population.plain())
    await population.orders(place, ours, people, 4 * count)
    await population.same_orders(place, (ours, people), (bare, plain))
    async with place.owner() as owner:
        for tenant in (ours, bare):
            await handwritten.rescore(owner, tenant.shop.id, tenant.shop.live_as_of(), tenant.shop.zone.key)
        await owner.execute("truncate domain_events")
    await population.settle(place)
    return ours, bare, people


def _call(tenant: Tenant, api: str, parameters: object) -> bytes:
    return client.request("POST", f"{_API}{api}?access_token={tenant.token}", orjson.dumps(parameters))


def _post(path: str, parameters: object) -> bytes:
    return client.request("POST", path, orjson.dumps(parameters))
