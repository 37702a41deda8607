"""Commits and deliveries that happened and were reported as failed; networks that cut, stall, delay and reset."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.faults import invariants
from tests.faults.ground import Ground
from tests.faults.load import Creates, Shopkeeper
from tests.faults.proxy import Proxy, proxying, some_commits, some_requests
from tests.faults.receiver import receiving
from tests.faults.waiting import until_none

SHARE = 0.05
_STATEMENT_SECONDS = 1


class Scale(NamedTuple):
    """How much of it."""

    creates: int
    touches: int
    real: bool


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Scale(250, 250, real=False), id="short"),
        pytest.param(
            Scale(20_000, 10_000, real=True), id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(3600)]
        ),
    ],
)
async def test_what_happened_without_an_answer_happens_once(
    ground: Ground, chance: Random, figure: Callable[[str], None], scale: Scale
) -> None:
    tenant = await ground.open_shop()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        to_postgres, from_worker, to_receiver = [
            await stack.enter_async_context(proxying(port))
            for port in (ground.postgres_port, ground.postgres_port, receiver.port)
        ]
        impatient: dict[str, Any] = {"database_statement_timeout_seconds": _STATEMENT_SECONDS, "real": scale.real}
        service = await ground.serve(postgres=to_postgres.port, **impatient)
        keeper = Shopkeeper(service, tenant)
        people = await keeper.people(min(scale.touches, 1000), first=500_000)
        await keeper.subscribe(f"http://127.0.0.1:{to_receiver.port}/hook", "customer.created", "touch.requested")
        for wave in range(max(1, scale.touches // 1000)):
            await keeper.touch(people, f"wave-{wave}")
        to_postgres.lose = from_worker.lose = some_commits(chance, SHARE, hanging=0.1)
        to_receiver.lose = some_requests(chance, SHARE)
        ground.work(postgres=from_worker.port, **impatient)
        creates = Creates(tenant, [service.port], chance)
        await creates.run(scale.creates)
        wrong = await until_none(lambda: _sooner(ground, tenant.id), seconds=60 + (scale.creates + scale.touches) / 20)
        told = creates.told
        owed = await invariants.owed(ground.rows, tenant.id)
        figure(
            f"lost answers: {to_postgres.lost} of the API's commits, {from_worker.lost} of the worker's, "
            f"{to_receiver.lost} deliveries, with {scale.creates} creates and {len(owed)} messages; "
            f"{dict(told.statuses)}; repeats {receiver.repeats()}"
        )
        assert min(to_postgres.lost, from_worker.lost, to_receiver.lost) > 0
        assert told.strange == []
        assert wrong == []
        made_before = {f"before-{number}": number for number in people}
        assert await _lost_or_doubled(ground, tenant.id, told.acknowledged, made_before) == []
        assert await invariants.unlogged(ground.rows, tenant.id, scale.creates) == []
        touches = await ground.rows("select id, state from touches where shop_id = $1", tenant.id)
        assert len(touches) == len(people) * max(1, scale.touches // 1000)
        assert {row["state"] for row in touches} == {"delivered"}
        assert receiver.wrong(owed) == []


async def _sooner(ground: Ground, shop_id: int) -> list[str]:
    """What is still wrong; and the half minute before a second attempt is over."""
    await ground.time_passes(shop_id)
    return await invariants.violations(ground.rows, shop_id)


async def _lost_or_doubled(
    ground: Ground, shop_id: int, acknowledged: dict[str, int], made_before: dict[str, int]
) -> list[str]:
    """As `unacknowledged_or_doubled`, in a shop that had customers before."""
    found = await invariants.unacknowledged_or_doubled(ground.rows, shop_id, acknowledged | made_before)
    return [one for one in found if not one.startswith("acknowledged without a kept key")]


_KINDS = ("cut", "reset", "silence", "delay", "refuse")


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(5, id="short"),
        pytest.param(60, id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(900)]),
    ],
)
async def test_broken_networks_between_any_two_lose_and_double_nothing(
    ground: Ground, chance: Random, figure: Callable[[str], None], rounds: int
) -> None:
    tenant = await ground.open_shop()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        ports = (*2 * (ground.postgres_port,), *2 * (ground.valkey_port,), receiver.port)
        links = [await stack.enter_async_context(proxying(port)) for port in ports]
        api_postgres, worker_postgres, api_redis, worker_redis, to_receiver = links
        impatient: dict[str, Any] = {
            "database_statement_timeout_seconds": _STATEMENT_SECONDS,
            "database_acquire_timeout_seconds": 2,
        }
        service = await ground.serve(postgres=api_postgres.port, redis=api_redis.port, **impatient)
        links.append(await stack.enter_async_context(proxying(service.port)))
        keeper = Shopkeeper(service, tenant)
        await keeper.subscribe(f"http://127.0.0.1:{to_receiver.port}/hook", "customer.created")
        worker = ground.work(postgres=worker_postgres.port, redis=worker_redis.port, **impatient)
        creates = Creates(tenant, [links[-1].port], chance, clients=6)
        load = asyncio.create_task(creates.run(pause_seconds=0.02))
        kinds = [kind for _ in range(1 + rounds // len(_KINDS)) for kind in chance.sample(_KINDS, len(_KINDS))]
        for kind in kinds[:rounds]:
            for link in links:
                _break(link, kind if link is api_postgres or chance.random() < 0.7 else chance.choice(_KINDS))
            await asyncio.sleep(1.3 * _STATEMENT_SECONDS)
            for link in links:
                link.resume()
            await asyncio.sleep(0.5)
        creates.stop()
        await load
        wrong = await until_none(lambda: _sooner(ground, tenant.id), seconds=60)
        told = creates.told
        figure(f"{rounds} rounds on {len(links)} links: {dict(told.statuses)}; repeats {receiver.repeats()}")
        assert told.strange == []
        assert not worker.died()
        assert wrong == []
        assert await invariants.unacknowledged_or_doubled(ground.rows, tenant.id, told.acknowledged) == []
        assert await invariants.unlogged(ground.rows, tenant.id, len(told.acknowledged)) == []
        assert receiver.wrong(await invariants.owed(ground.rows, tenant.id)) == []


def _break(link: Proxy, kind: str) -> None:
    if kind in ("cut", "reset"):
        link.cut(reset=kind == "reset")
    elif kind == "silence":
        link.silence()
    elif kind == "delay":
        link.delay_seconds = 0.05
    else:
        link.refusing = True
        link.cut()
