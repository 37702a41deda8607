"""Valkey emptied and gone; Postgres restarted under load."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from tests.faults import invariants
from tests.faults.ground import HELD_SECONDS, Ground
from tests.faults.load import Creates, Shopkeeper
from tests.faults.receiver import Message, receiving
from tests.faults.waiting import until


class Scale(NamedTuple):
    """Seconds that a server is away, and how often."""

    away_seconds: float
    rounds: int
    real: bool


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(5, 1, real=False), id="short"),
        pytest.param(Scale(60, 1, real=True), id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(600)]),
    ],
)
async def test_valkey_emptied_frozen_stopped_and_restarted_costs_only_time(
    ground: Ground, chance: Random, figure: Callable[[str], None], scale: Scale
) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve(real=scale.real)
    # strict: nobody is killed here, so nothing may arrive twice
    async with receiving(deduplicating=False) as receiver:
        keeper = Shopkeeper(service, tenant)
        await keeper.subscribe(receiver.url(), "customer.created")
        workers = [ground.work(real=scale.real) for _ in range(2)]
        creates = Creates(tenant, [service.port], chance, clients=4)
        told = creates.told
        load = asyncio.create_task(creates.run(pause_seconds=0.03))
        redis = Redis.from_url(ground.valkey.url)
        for _ in range(5):
            await asyncio.sleep(0.2)
            await redis.flushall()
        await redis.aclose()
        ((valkey, _),) = ground.valkey.stopping()
        valkey.send_signal(signal.SIGSTOP)  # it takes connections and says nothing
        await asyncio.sleep(1)
        valkey.send_signal(signal.SIGCONT)
        await ground.stop_server(ground.valkey, signal.SIGKILL)
        stopped, before = time.monotonic(), len(told.acknowledged)
        await asyncio.sleep(scale.away_seconds)
        meanwhile, delivered = len(told.acknowledged) - before, _since(receiver.messages, stopped)
        await ground.start_server(ground.valkey)
        back = time.monotonic()
        await asyncio.sleep(1)
        creates.stop()
        await load
        wrong = await invariants.until_settled(ground.rows, tenant.id, seconds=15)
        await keeper.call("GET", "/readyz")
        figure(
            f"Valkey away for {back - stopped:.1f} s: {meanwhile} creates answered, {delivered} deliveries made in it; "
            f"slowest answer {told.slowest_seconds * 1000:.0f} ms; {dict(told.statuses)}"
        )
        assert wrong == []
        assert set(told.statuses) == {"201"}
        assert told.slowest_seconds < 2
        assert meanwhile > 0
        assert delivered > 0
        assert not any(worker.died() for worker in workers)
        assert await invariants.unacknowledged_or_doubled(ground.rows, tenant.id, told.acknowledged) == []
        owed = await invariants.owed(ground.rows, tenant.id)
        assert len(owed) == len(told.acknowledged)
        assert receiver.wrong(owed) == []


def _since(messages: list[Message], moment: float) -> int:
    return sum(message.moment >= moment for message in messages)


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(1, 1, real=False), id="short"),
        pytest.param(Scale(5, 5, real=True), id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(900)]),
    ],
)
async def test_postgres_restarted_loses_nothing_and_is_told_as_it_is(
    ground: Ground, chance: Random, figure: Callable[[str], None], scale: Scale
) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve(real=scale.real)
    async with receiving() as receiver:
        keeper = Shopkeeper(service, tenant)
        await keeper.subscribe(receiver.url(), "customer.created")
        workers = [ground.work(real=scale.real) for _ in range(2)]
        creates = Creates(tenant, [service.port], chance, clients=10)
        load = asyncio.create_task(creates.run(pause_seconds=0.01, facade_clients=3))
        await asyncio.sleep(1)
        outages = []
        for number in [signal.SIGINT, signal.SIGQUIT] * scale.rounds:  # fast, immediate
            await ground.stop_server(ground.postgres, number)
            await asyncio.sleep(scale.away_seconds)
            started = time.monotonic()
            await ground.start_server(ground.postgres)
            await asyncio.sleep(1.5)
            with suppress(TimeoutError):
                await until(lambda started=started: creates.told.first_after(started) < 15, seconds=15)  # type: ignore[misc]
            outages.append(started)
        creates.stop()
        await load
        wrong = await invariants.until_settled(ground.rows, tenant.id, seconds=4 * HELD_SECONDS)
        told, facade = creates.told, creates.facade
        back = max(max(told.first_after(moment), facade.first_after(moment)) for moment in outages)
        figure(
            f"{len(outages)} restarts, fast and immediate in turn: answering again {back:.1f} s after the start; "
            f"/v1 {dict(told.statuses)}; facade {dict(facade.statuses)}"
        )
        assert told.strange == facade.strange == []
        assert told.statuses.keys() <= {"201", "409", "503"}
        assert told.statuses["503"] > 0
        assert facade.statuses.keys() <= {"200/200", "200/5001", "200/143001027"}
        assert facade.statuses["200/5001"] > 0
        assert back <= 15
        assert not any(worker.died() for worker in workers)
        assert wrong == []
        stored = {row["id"] for row in await ground.rows("select id from customers where shop_id = $1", tenant.id)}
        assert set(told.acknowledged.values()) <= stored
        assert len(stored) == len(told.acknowledged) + len(facade.acknowledged)
        assert await invariants.unlogged(ground.rows, tenant.id, len(told.acknowledged)) == []
        create = "youzan.scrm.customer.create/3.0.0"
        assert await invariants.unlogged(ground.rows, tenant.id, len(facade.acknowledged), call=create) == []
        assert receiver.wrong(await invariants.owed(ground.rows, tenant.id)) == []
        assert len(receiver.effects) == len(stored)
