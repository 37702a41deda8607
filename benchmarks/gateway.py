"""What the façade costs on top: its calls beside the same work by /v1, and creations at a steady pace."""

import itertools
from collections.abc import Callable
from functools import partial
from random import Random
from statistics import median
from typing import Any, Final

import orjson

from benchmarks import client, population, stage
from benchmarks.facade import side
from benchmarks.measure import Figure, Plan, percentile, ratio_figure, take_turns
from benchmarks.stage import Stage, Tenant

_AT_MOST: Final = 1 / 1.15  # 15 % on top
_NEW_MOBILES: Final = 15_700_000_000
_PATIENCE_MS: Final = 250


def run(plan: Plan) -> list[Figure]:
    """Rates as a share of /v1's, and the wait for a creation at 200 a second."""
    with stage.up(plan) as place:
        tenant, people = place.run(lambda: _prepare(place, plan.population(5_000, 50_000)))
        port = place.serve()
        random, mobiles = Random(1), itertools.count(_NEW_MOBILES)  # noqa: S311 repeatable, protects nothing

        def facade(api: str, parameters: dict[str, Any]) -> bytes:
            target = f"/api/youzan.scrm.customer.{api}?access_token={tenant.token}"
            return client.request("POST", target, orjson.dumps(parameters))

        def v1(path: str, body: dict[str, Any]) -> bytes:
            return client.request("POST", path, orjson.dumps(body), bearer=tenant.api_key)

        def mobile() -> dict[str, str]:
            return {"kind": "mobile", "value": str(next(mobiles))}

        cases: list[tuple[str, Callable[[], bytes], bytes, Callable[[], bytes], bytes]] = [
            (
                "a lookup by mobile",
                lambda: facade(
                    "get/3.1.0", {"account": {"account_type": "Mobile", "account_id": people.with_mobile(random)}}
                ),
                b'"code":200,',
                lambda: v1(
                    "/v1/customers/lookup", {"identity": {"kind": "mobile", "value": people.with_mobile(random)}}
                ),
                b'"open_id"',
            ),
            (
                "a creation",
                lambda: facade(
                    "create/3.0.0", {"mobile": str(next(mobiles)), "customer_create": {"name": "王雨桐", "gender": 2}}
                ),
                b'"code":200,',
                lambda: v1("/v1/customers", {"identities": [mobile()], "name": "王雨桐", "gender": 2}),
                b'"open_id"',
            ),
        ]
        figures = []
        for name, ours, our_marker, theirs, their_marker in cases:
            one = side(place, "service", port, ours, our_marker)
            other = side(place, "service", port, theirs, their_marker)
            rounds = place.run(partial(take_turns, one, other, plan))
            figures.append(ratio_figure(f"gateway: {name} beside /v1", rounds, _AT_MOST, "calls"))
        per_second, seconds = (50, 5) if plan.quick else (200, 60)
        requests = [cases[1][1]() for _ in range(per_second * (seconds + 2))]
        warm, measured = requests[: 2 * per_second], requests[2 * per_second :]
        place.run(lambda: client.pace(port, warm, per_second, b'"code":200,'))
        sent = place.run(lambda: client.pace(port, measured, per_second, b'"code":200,'))
        waits = [took * 1000 for _, took in sent]
        figures.append(
            Figure(
                f"gateway: creations at {per_second} a second, p99",
                [min(waits), max(waits)],
                "ms",
                _PATIENCE_MS,
                higher_is_better=False,
                value=percentile(waits, 0.99),
                detail=f"{len(waits):,} in {seconds} s, median {median(waits):,.1f} ms",
            )
        )
        return figures


async def _prepare(place: Stage, count: int) -> tuple[Tenant, population.People]:
    tenant = await place.open_shop("gateway")
    people = await population.people(place, tenant, count)
    await population.settle(place)
    return tenant, people
