"""The full rescore of a large shop by one worker, beside SQL written by hand for nothing else."""

import asyncio
import os
import signal
import time
from datetime import datetime
from statistics import median
from typing import Any, Final

from benchmarks import client, handwritten, population, stage
from benchmarks.measure import Figure, Plan, peak_memory_mb
from benchmarks.population import People
from benchmarks.stage import Stage, Tenant

ORDERS_EACH: Final = 5
_LARGE: Final = 300_000  # from here on one round is long enough to be told from noise

Shop = tuple[Tenant, People]


def run(plan: Plan) -> list[Figure]:
    """First and second run of each side in turns; before each round both shops are without scores again."""
    count = plan.population(20_000, 100_000)
    rounds = 1 if count >= _LARGE else 2 if plan.quick else 3
    with stage.up(plan) as place:
        ours, bare = place.run(lambda: _prepare(place, count))
        port = place.serve()
        place.work()
        taken = [place.run(lambda: _round(place, ours, bare, port)) for _ in range(rounds)]
        memory = peak_memory_mb(place.pid("worker"))
    first, again, by_hand, by_hand_again = (list(column) for column in zip(*taken, strict=True))
    form = f"{count:,} customers, {ORDERS_EACH * count:,} orders"
    return [
        Figure(
            "rescore: first run beside hand-written SQL",
            [a / b for a, b in zip(first, by_hand, strict=True)],
            "×",
            1.5,
            higher_is_better=False,
            detail=f"{median(first):.1f} s, by hand {median(by_hand):.1f} s; {form}",
        ),
        Figure(
            "rescore: second run beside the first",
            [a / b for a, b in zip(again, first, strict=True)],
            "×",
            0.8,
            higher_is_better=False,
            detail=f"{median(again):.1f} s after {median(first):.1f} s; by hand {median(by_hand_again):.1f} s",
        ),
        Figure("rescore: worker's peak memory", [memory], "MB", 500, higher_is_better=False, detail=form),
    ]


async def _prepare(place: Stage, count: int) -> tuple[Shop, Shop]:
    ours, bare = await place.open_shop("service"), await place.open_shop("by hand")
    people = await population.people(place, ours, count)
    same = await population.people(place, bare, count, writer=population.plain())
    await population.orders(place, ours, people, ORDERS_EACH * count)
    await population.same_orders(place, (ours, people), (bare, same))
    return (ours, people), (bare, same)


async def _round(place: Stage, ours: Shop, bare: Shop, port: int) -> tuple[float, float, float, float]:
    """Returns the seconds of our first and second run, and of the hand-written ones."""
    await _forget(place, ours[0], bare[0])
    first = await _run_ours(place, ours[0], port)
    await _until_told(place, ours[0])
    again = await _run_ours(place, ours[0], port)
    # The hand-written side writes events too; the worker must not carry them off meanwhile.
    os.kill(place.pid("worker"), signal.SIGSTOP)
    try:
        by_hand = await _run_by_hand(place, bare[0])
        by_hand_again = await _run_by_hand(place, bare[0])
        async with place.owner() as owner:
            await owner.execute("delete from domain_events where shop_id = $1", bare[0].shop.id)
            digests = [await handwritten.digest(owner, shop.shop.id, people.first) for shop, people in (ours, bare)]
    finally:
        os.kill(place.pid("worker"), signal.SIGCONT)
    if digests[0] != digests[1]:
        raise client.WrongAnswer("the two sides computed different scores")
    return first, again, by_hand, by_hand_again


async def _run_ours(place: Stage, tenant: Tenant, port: int) -> float:
    """From the moment the job was asked for to its end, by the database's clock."""
    accepted = await client.call(port, "POST", "/v1/triggers/rescore", {}, bearer=tenant.api_key)
    while True:
        job: dict[str, Any] = await client.call(port, "GET", f"/v1/jobs/{accepted['job_id']}", bearer=tenant.api_key)
        if job["state"] not in ("queued", "running"):
            break
        await asyncio.sleep(0.2)
    if job["state"] != "done":
        raise client.WrongAnswer(f"the job ended as {job['state']}: {job['error']}\n{place.tail('worker')}")
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()


async def _run_by_hand(place: Stage, tenant: Tenant) -> float:
    async with place.owner() as owner:
        begun = time.perf_counter()
        await handwritten.rescore(owner, tenant.shop.id, tenant.shop.live_as_of(), tenant.shop.zone.key)
        return time.perf_counter() - begun


async def _until_told(place: Stage, tenant: Tenant) -> None:
    """Until the worker has carried off the events of the run."""
    async with place.owner() as owner:
        left = "select exists (select from domain_events where shop_id = $1)"
        while await owner.fetchval(left, tenant.shop.id):  # noqa: ASYNC110 another process does the work
            await asyncio.sleep(0.2)
        await owner.execute("checkpoint")


async def _forget(place: Stage, *tenants: Tenant) -> None:
    """Both shops as they were before their first run, in tables without dead rows."""
    async with place.owner() as owner:
        for tenant in tenants:
            for table in ("customer_stats", "customer_scores", "score_runs", "tier_changes", "customer_totals"):
                await owner.execute(f"delete from {table} where shop_id = $1", tenant.shop.id)  # noqa: S608 ours
        await owner.execute("vacuum full customer_stats, customer_scores, tier_changes, domain_events")
    await population.settle(place)
