"""The whole street against the clock: an order that makes somebody a VIP goes in, the webhook about it comes out."""

import itertools
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

import orjson

from benchmarks import client, handwritten, population, receiver, stage
from benchmarks.measure import Figure, Plan, percentile
from benchmarks.stage import Stage, Tenant

_IDLE_SECONDS: Final = 10.0
_ALMOST_VIP: Final = """
    select k.customer_id from customer_scores k
    join customer_stats s on s.shop_id = k.shop_id and s.customer_id = k.customer_id
    where k.shop_id = $1 and k.tier <> 'vip' and (select sum(n) from unnest(s.interactions_by_month) as n) >= 1
        and s.net_365d_fen >= 0
"""


def run(plan: Plan) -> list[Figure]:
    """Time from sending the order to the arrival of `tier.changed`."""
    per_second, seconds = (20, 20) if plan.quick else (100, 60)
    count = per_second * seconds
    with stage.up(plan) as place:
        tenant, people = place.run(lambda: _prepare(place, max(plan.population(5_000, 50_000), 8 * count)))
        port = place.serve()
        place.work()
        latencies, answers, lost = place.run(lambda: _walk(place, tenant, people, port, per_second, count))
    form = f"{per_second} orders/s for {seconds} s, {people.count:,} customers, {lost} of {count:,} lost"
    answered = f"order answered in {median(answers) * 1000:,.0f} ms (p99 {percentile(answers, 0.99) * 1000:,.0f})"
    milliseconds = [seconds * 1000 for seconds in latencies] or [float("inf")]
    return [
        Figure(
            "street: order in to tier.changed, p50",
            [min(milliseconds), max(milliseconds)],
            "ms",
            500,
            higher_is_better=False,
            value=median(milliseconds),
            detail=f"{form}; {answered}",
        ),
        Figure(
            "street: order in to tier.changed, p99",
            [min(milliseconds), max(milliseconds)],
            "ms",
            2000,
            higher_is_better=False,
            value=percentile(milliseconds, 0.99),
            detail=form,
        ),
    ]


async def _prepare(place: Stage, count: int) -> tuple[Tenant, population.People]:
    """A shop with stored thresholds."""
    tenant = await place.open_shop("street")
    people = await population.people(place, tenant, count)
    await population.orders(place, tenant, people, 4 * count)
    async with place.owner() as owner:
        await handwritten.rescore(owner, tenant.shop.id, tenant.shop.live_as_of(), tenant.shop.zone.key)
        await owner.execute("truncate domain_events")
    await population.settle(place)
    return tenant, people


async def _walk(
    place: Stage, tenant: Tenant, people: population.People, port: int, per_second: int, count: int
) -> tuple[list[float], list[float], int]:
    """Returns: seconds from order to webhook, seconds from order to answer, and how many webhooks never came."""
    async with receiver.listening() as inbox:
        hook = {"url": inbox.url, "kinds": ["tier.changed"]}
        secret = (await client.call(port, "POST", "/v1/webhooks", hook, bearer=tenant.api_key))["secret"]
        amount, risers = await _risers(place, tenant, people, count + per_second)
        requests = [(number, _order(tenant, digits, amount)) for number, digits in risers]
        # A second of it first: the processes open their connections and prepare their statements.
        await _send(port, requests[:per_second], per_second)
        await inbox.until(per_second, idle_seconds=_IDLE_SECONDS)
        inbox.messages.clear()
        sent = await _send(port, requests[per_second:], per_second)
        await inbox.until(count, idle_seconds=_IDLE_SECONDS)
        arrived = {message["data"]["customer_id"]: moment for moment, message in inbox.verified(secret)}
    latencies = [arrived[number] - started for number, (started, _) in sent.items() if number in arrived]
    return latencies, [took for _, took in sent.values()], len(sent) - len(latencies)


async def _risers(
    place: Stage, tenant: Tenant, people: population.People, count: int
) -> tuple[int, list[tuple[int, str]]]:
    """The VIP threshold, and customers below it who can be named by mobile."""
    async with place.owner() as owner:
        threshold, risers = await almost_vip(owner, tenant.shop.id)
    known = ((number, people.mobile_of(number)) for number in risers)
    found = list(itertools.islice(((n, m) for n, m in known if m), count))
    if len(found) < count:
        raise client.WrongAnswer(f"{len(found)} customers can become VIPs by one order; {count} must")
    return threshold + 1, found


async def almost_vip(owner: Any, shop_id: int) -> tuple[int, list[int]]:
    """The spend that VIPs begin at, and who has all else that it takes: one interaction beside the order to come."""
    threshold = await owner.fetchval(
        "select tier_values[1] from score_runs where shop_id = $1 and state = 'published'", shop_id
    )
    rows = await owner.fetch(_ALMOST_VIP, shop_id)
    return int(threshold), [row["customer_id"] for row in rows]


async def _send(port: int, requests: list[tuple[int, bytes]], per_second: int) -> dict[int, tuple[float, float]]:
    """Returns by customer when their order was due to be sent, and how long its answer took."""
    sent = await client.pace(port, [request for _, request in requests], per_second, b'"created"')
    return dict(zip((number for number, _ in requests), sent, strict=True))


def _order(tenant: Tenant, digits: str, amount_fen: int) -> bytes:
    body: dict[str, Any] = {
        "order_no": f"RISE-{digits}",
        "identities": [{"kind": "mobile", "value": digits}],
        "paid_at": datetime.now(UTC).isoformat(),
        "amount_fen": amount_fen,
        "items": [{"sku": "SKU001", "quantity": 1, "price_fen": amount_fen}],
    }
    return client.request("POST", "/v1/orders", orjson.dumps(body), bearer=tenant.api_key)
