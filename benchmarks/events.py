"""/v1/events/batch with a thousand events each, beside one bare statement over arrays."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final
from uuid import UUID

from benchmarks import population, stage
from benchmarks.batch import ROWS, batches, prepare
from benchmarks.facade import side
from benchmarks.measure import Figure, Plan, ratio_figure, take_turns

_TYPES: Final = ("view", "view", "view", "cart", "favourite", "visit")


def run(plan: Plan) -> list[Figure]:
    """Events taken in a second, as a share of the bare ones."""
    with stage.up(plan) as place:
        ours, bare, people = place.run(lambda: prepare(place, plan.population(10_000, 50_000)))
        service_port, bare_port = place.serve(), place.serve_bare(bare.shop.id)
        rows = _events(Random(4), people)  # noqa: S311 repeatable, protects nothing
        marker = b'"created":1000,'
        real = side(
            place, "service", service_port, batches("/v1/events/batch", "events", rows, ours), marker, work=ROWS
        )
        plain = side(place, "bare", bare_port, batches("/events/batch", "events", rows, bare), marker, work=ROWS)
        rounds = place.run(partial(take_turns, real, plain, plan))
        return [ratio_figure("events: batch", rounds, 0.6, "events")]


def _events(random: Random, people: population.People) -> Iterator[dict[str, Any]]:
    """New events of people who are known by their mobile, as they happen: a few of each visit, in the last hours."""
    now = datetime.now(UTC)
    for visit in itertools.count():
        mobile = people.with_mobile(random)
        for step in range(random.randrange(1, 6)):
            moment = now - timedelta(seconds=random.randrange(20_000))
            yield {
                "event_id": str(UUID(int=random.getrandbits(128), version=4)),
                "type": _TYPES[(visit + step) % len(_TYPES)],
                "identities": [{"kind": "mobile", "value": mobile}],
                "occurred_at": moment.isoformat(),
                "properties": {"sku": f"SKU{visit % 500:03}", "price": 5900 + visit % 50, "page": "/p/玻尿酸面膜"},
                "store_id": 1 + visit % population.STORES,
                "source": "mini-program",
            }
