"""Segments over HTTP: whether one customer is in one, and how soon an event becomes a `segment.entered` webhook."""

import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from statistics import median
from typing import Any, Final

import orjson

from app.segments.membership import reading
from benchmarks import client, population, receiver, segment_sets
from benchmarks.client import WrongAnswer
from benchmarks.measure import Figure, Plan, percentile
from benchmarks.segment_rules import Rule
from benchmarks.segment_shop import SegmentShop
from benchmarks.stage import Stage

_BESIDE_BARE_MS: Final = 3
_WARM_UP: Final = 20  # calls that prepare the statement, and have it planned anew as often as Postgres tries
_SEGMENTS: Final = 50
_PER_SECOND: Final = 200
_WARM_SECONDS: Final = 3  # the processes open their connections and prepare their statements
_IDLE_SECONDS: Final = 20.0
_PRODUCT: Final = "LAUNCH"
_LAUNCH: Final[Rule] = {
    "kind": "event",
    "event": "view",
    "where": [{"property": "product", "equals": _PRODUCT}],
    "window": {"last": {"hours": 1}},
    "at_least": 1,
}


def figures(place: Stage, where: SegmentShop, ids: Sequence[int], port: int, plan: Plan) -> list[Figure]:
    """On a service that is up; a worker is started for the second, and 50 segments are live."""
    checks = place.run(lambda: _checks(place, where, ids, port, 100 if plan.quick else 1_000))
    launched = place.run(lambda: segment_sets.define(place, where, [("launch", _LAUNCH)]))
    place.run(lambda: segment_sets.build_all(place, where, launched))
    place.run(lambda: segment_sets.keep_only(place, where, [*ids[: _SEGMENTS - 1], *launched]))
    place.run(lambda: population.settle(place))
    place.work()
    seconds = 10 if plan.quick else 30
    return [checks, *place.run(lambda: _entering(where, launched[0], port, seconds))]


# --- is a customer in it --------------------------------------------------------------------------------------------


async def _checks(place: Stage, where: SegmentShop, ids: Sequence[int], port: int, calls: int) -> Figure:
    """Through the service in turns with the bare statement on a connection of the tables' owner."""
    random, people = Random(9), where.people  # noqa: S311 repeatable, protects nothing
    ours, bare, inside = [], [], 0
    async with place.owner() as owner, client.connected(port, 1) as (connection,):
        for call in range(calls + _WARM_UP):
            # Two different people: whoever came second would find the first one's pages warm.
            segment_id, somebody, other = random.choice(ids), *random.sample(range(people.count), 2)
            named = {"shop_id": where.id, "segment_id": segment_id, "customer_id": people.first + other}
            arguments = reading.IS_MEMBER.arguments(named)
            began = time.perf_counter()
            found = await owner.fetchrow(reading.IS_MEMBER.sql, *arguments)
            between = time.perf_counter()
            path = f"/v1/segments/{segment_id}/members/{people.first + somebody}"
            ready = client.request("GET", path, bearer=where.tenant.api_key)
            asked = time.perf_counter()
            client.checked(await connection.ask(ready), b'"member":')
            answered = time.perf_counter()
            if found is None:
                raise WrongAnswer("the bare query found nobody")
            if call >= _WARM_UP:
                inside += found["entered_at"] is not None
                bare.append(1000 * (between - began))
                ours.append(1000 * (answered - asked))
    ends = percentile(ours, 0.99), percentile(bare, 0.99)
    return Figure(
        "segments: is a customer in it, over the bare query, p99",
        [ends[0] - ends[1]],
        "ms",
        _BESIDE_BARE_MS,
        higher_is_better=False,
        detail=f"p99 {ends[0]:.2f} ms, bare {ends[1]:.2f} ms; median {median(ours):.2f} ms, "
        f"bare {median(bare):.2f} ms; {calls} of each in turns, {inside} of them are",
    )


# --- an event in, a webhook out -------------------------------------------------------------------------------------


async def _entering(where: SegmentShop, segment_id: int, port: int, seconds: int) -> list[Figure]:
    count, first = _PER_SECOND * seconds, _PER_SECOND * _WARM_SECONDS
    known = (
        (number, where.people.mobile_of(number))
        for number in where.some(min(2 * (first + count), where.people.count), 0)
    )
    senders = list(itertools.islice(((number, digits) for number, digits in known if digits), first + count))
    if len(senders) < first + count:
        raise WrongAnswer(f"there are {len(senders)} customers with a mobile; {first + count} must do something")
    async with receiver.listening() as inbox:
        hook = {"url": inbox.url, "kinds": ["segment.entered"]}
        secret = (await client.call(port, "POST", "/v1/webhooks", hook, bearer=where.tenant.api_key))["secret"]
        sent = await client.pace(port, [_event(where, one) for _, one in senders], _PER_SECOND, b'"created"')
        await _until_quiet(inbox, segment_id, first + count)
        arrived = {
            customer_id: moment
            for moment, message in inbox.verified(secret)
            if message["data"]["segment_id"] == segment_id
            for customer_id in message["data"]["customer_ids"]
        }
    due = {number: moment for (number, _), (moment, _) in zip(senders[first:], sent[first:], strict=True)}
    waits = [1000 * (arrived[number] - moment) for number, moment in due.items() if number in arrived]
    answers = [took for _, took in sent[first:]]
    lost = len(due) - len(waits)
    form = (
        f"{_PER_SECOND} events/s for {seconds} s, {lost} of {count:,} lost, {_SEGMENTS} segments; answered in "
        f"{median(answers) * 1000:,.0f} ms (p99 {percentile(answers, 0.99) * 1000:,.0f}); "
        f"{len(inbox.messages):,} messages"
    )
    milliseconds = waits or [float("inf")]
    return [
        Figure(
            f"segments: event in to segment.entered, {name}",
            [min(milliseconds), max(milliseconds)],
            "ms",
            target,
            higher_is_better=False,
            value=percentile(milliseconds, share),
            detail=form,
        )
        for name, share, target in (("p50", 0.5, 500), ("p99", 0.99, 2_000))
    ]


async def _until_quiet(inbox: receiver.Inbox, segment_id: int, count: int) -> None:
    """Wait until so many have entered, or nothing more comes for a while."""
    marker, seen, entered = f'"segment_id":{segment_id},'.encode(), 0, 0
    while entered < count:
        before = len(inbox.messages)
        for _, _, body in inbox.messages[seen:before]:
            if marker in body.replace(b" ", b""):
                entered += len(orjson.loads(body)["data"]["customer_ids"])
        seen = before
        await inbox.until(before + 1, idle_seconds=_IDLE_SECONDS)
        if len(inbox.messages) == before:
            return


def _event(where: SegmentShop, digits: str) -> bytes:
    body: dict[str, Any] = {
        "event_id": f"launch-{digits}",
        "type": "view",
        "identities": [{"kind": "mobile", "value": digits}],
        "occurred_at": datetime.now(UTC).isoformat(),
        "properties": {"product": _PRODUCT, "price": 9900},
        "store_id": 1,
        "source": "mini-program",
    }
    return client.request("POST", "/v1/events", orjson.dumps(body), bearer=where.tenant.api_key)
