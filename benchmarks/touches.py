"""Touches to a fast local receiver: how many a second one worker plans, allows, signs and delivers."""

import time
from typing import Final

from benchmarks import client, population, receiver, stage
from benchmarks.measure import Figure, Plan, percentile
from benchmarks.stage import Stage, Tenant

_IDLE_SECONDS: Final = 15.0


def run(plan: Plan) -> list[Figure]:
    """Deliveries a second, from the request to the last one, and within the stretch in which they arrive."""
    count = 2_000 if plan.quick else 10_000
    rounds = 1 if plan.quick else 3
    with stage.up(plan) as place:
        tenant, people = place.run(lambda: _prepare(place, count))
        port = place.serve()
        place.work()
        whole, steady = zip(*place.run(lambda: _send(tenant, people, port, rounds)), strict=True)
    detail = f"{count:,} touches in each of {rounds} requests, signatures verified"
    return [
        Figure("touches: from request to last delivery", whole, "per s", 500, detail=detail),
        Figure("touches: between first and last tenth of arrivals", steady, "per s", 500, detail=detail),
    ]


async def _prepare(place: Stage, count: int) -> tuple[Tenant, population.People]:
    tenant = await place.open_shop("touches")
    people = await population.people(place, tenant, count)
    await population.settle(place)
    return tenant, people


async def _send(tenant: Tenant, people: population.People, port: int, rounds: int) -> list[tuple[float, float]]:
    """Returns for each round: touches a second over all, and in the steady middle."""
    found = []
    async with receiver.listening() as inbox:
        hook = {"url": inbox.url, "kinds": ["touch.requested"]}
        secret = (await client.call(port, "POST", "/v1/webhooks", hook, bearer=tenant.api_key))["secret"]
        template = {"category": "transactional", "body": "您的订单已发货"}
        await client.call(port, "PUT", "/v1/templates/shipped", template, bearer=tenant.api_key)
        audience = {"customer_ids": list(range(people.first, people.first + people.count))}
        wanted = {"template": "shipped", "audience": audience}
        for number in range(rounds):
            inbox.messages.clear()
            begun = time.perf_counter()
            await client.call(
                port,
                "POST",
                "/v1/triggers/touches",
                wanted,
                bearer=tenant.api_key,
                headers=f"Idempotency-Key: round-{number}",
            )
            await inbox.until(people.count, idle_seconds=_IDLE_SECONDS)
            arrivals = [moment for moment, _ in inbox.verified(secret)]
            if len(arrivals) != people.count:
                raise client.WrongAnswer(f"{len(arrivals)} of {people.count} touches arrived")
            middle = percentile(arrivals, 0.9) - percentile(arrivals, 0.1)
            found.append((people.count / (arrivals[-1] - begun), 0.8 * people.count / middle))
    return found
