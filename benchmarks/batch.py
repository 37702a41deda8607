"""/v1/customers/batch and /v1/orders/batch with a thousand rows each, beside one bare statement over arrays."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final

import orjson

from benchmarks import client, population, stage
from benchmarks.facade import side
from benchmarks.measure import Figure, Plan, ratio_figure, take_turns
from benchmarks.stage import Stage, Tenant

ROWS: Final = 1000
_NEW_MOBILES: Final = 15_600_000_000


def run(plan: Plan) -> list[Figure]:
    """Customers and orders taken in a second, as a share of the bare ones."""
    with stage.up(plan) as place:
        ours, bare, people = place.run(lambda: prepare(place, plan.population(10_000, 50_000)))
        service_port, bare_port = place.serve(), place.serve_bare(bare.shop.id)
        random, numbers = Random(2), itertools.count()  # noqa: S311 repeatable, protects nothing
        figures = []
        for what, rows, marker in (
            ("customers", new_customers(numbers), b'"created":1000,'),
            ("orders", _orders(random, numbers, people), b'"created":1000,'),
        ):
            real = side(
                place, "service", service_port, batches(f"/v1/{what}/batch", what, rows, ours), marker, work=ROWS
            )
            plain = side(place, "bare", bare_port, batches(f"/{what}/batch", what, rows, bare), marker, work=ROWS)
            rounds = place.run(partial(take_turns, real, plain, plan))
            figures.append(ratio_figure(f"batch: {what}", rounds, 0.5, what))
        return figures


async def prepare(place: Stage, count: int) -> tuple[Tenant, Tenant, population.People]:
    """Two shops with the same people: one sealed, one plain."""
    ours, bare = await place.open_shop("service"), await place.open_shop("bare")
    people = await population.people(place, ours, count)
    await population.people(place, bare, count, writer=population.plain())
    await population.settle(place)
    return ours, bare, people


def batches(path: str, what: str, rows: Iterator[dict[str, Any]], tenant: Tenant) -> Callable[[], bytes]:
    """Makes requests of a thousand rows each."""

    def make() -> bytes:
        body = orjson.dumps({what: list(itertools.islice(rows, ROWS))})
        return client.request("POST", path, body, bearer=tenant.api_key)

    return make


def new_customers(numbers: Iterator[int]) -> Iterator[dict[str, Any]]:
    """New people, each by mobile and card."""
    since = datetime(2025, 3, 1, 10, tzinfo=UTC)
    for number in numbers:
        joined = (since + timedelta(minutes=number % 500_000)).isoformat()
        yield {
            "identities": [
                {"kind": "mobile", "value": f"+86{_NEW_MOBILES + number}"},
                {"kind": "card_no", "value": f"N{number:09}"},
            ],
            "name": "王雨桐",
            "gender": 2,
            "birthday": "1996-05-20",
            "store_id": 1 + number % population.STORES,
            "source_channel": 1000,
            "member_since": joined,
            "created_at": joined,
        }


def _orders(random: Random, numbers: Iterator[int], people: population.People) -> Iterator[dict[str, Any]]:
    """New orders of people who are known by their mobile, with three lines."""
    since = datetime(2025, 3, 1, 10, tzinfo=UTC)
    for number in numbers:
        items: list[dict[str, Any]] = [
            {"sku": f"SKU{line:03}", "name": "玻尿酸保湿面膜", "quantity": 1 + line % 2, "price_fen": 5900 + line}
            for line in range(number % 50, number % 50 + 3)
        ]
        yield {
            "order_no": f"N{number:09}",
            "identities": [{"kind": "mobile", "value": people.with_mobile(random)}],
            "store_id": 1 + number % population.STORES,
            "channel": "store",
            "status": "completed",
            "paid_at": (since + timedelta(minutes=number % 500_000)).isoformat(),
            "amount_fen": sum(item["quantity"] * item["price_fen"] for item in items),
            "items": items,
        }
