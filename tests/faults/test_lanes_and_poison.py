"""Endpoints that hang, and a message that kills whoever sends it."""

import asyncio
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from tests.faults import invariants
from tests.faults.ground import HELD_SECONDS, Child, Ground, Service
from tests.faults.load import Shopkeeper
from tests.faults.receiver import Answer, Message, Receiver, receiving
from tests.faults.waiting import until, until_none

_HEALTHY = 7
_HANGING = 3  # of ten
# In a queue common to all endpoints, 32 attempts wide, the hanging ones of the short form would take 22 s.
_HANG_SECONDS = 4.0


class Lanes(NamedTuple):
    """How much of it; `bound`: how much longer the healthy ones may take, and how many seconds are noise."""

    customers: int
    repetitions: int
    bound: float
    noise_seconds: float
    real: bool


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Lanes(60, 1, 1.0, 2.0, real=False), id="short"),
        pytest.param(
            Lanes(1000, 7, 0.2, 0.0, real=True), id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(1800)]
        ),
    ],
)
async def test_endpoints_that_hang_delay_no_other(
    ground: Ground, chance: Random, figure: Callable[[str], None], scale: Lanes
) -> None:
    service = await ground.serve()
    ground.work(real=scale.real, outbound_timeout_seconds=_HANG_SECONDS)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    async with receiving() as receiver:
        receiver.behave = lambda message: Answer(hang=message.path.startswith("/hanging"))
        for _ in range(scale.repetitions):
            for hanging in chance.sample([False, True], 2):
                seconds[hanging].append(await _healthy_seconds(ground, service, receiver, scale, hanging))
    plain, beside = (statistics.median(seconds[hanging]) for hanging in (False, True))
    figure(
        f"{_HEALTHY} healthy endpoints, {scale.customers} messages each, {scale.repetitions} repetitions: "
        f"{plain:.2f} s alone, {beside:.2f} s beside {_HANGING} that hang ({beside / plain - 1:+.0%})"
    )
    assert beside <= plain * (1 + scale.bound) + scale.noise_seconds


async def _healthy_seconds(ground: Ground, service: Service, receiver: Receiver, scale: Lanes, hanging: bool) -> float:
    """From the first arrival at a healthy endpoint to the last, in a shop of its own."""
    tenant = await ground.open_shop()
    keeper = Shopkeeper(service, tenant)
    receiver.messages.clear()
    endpoints = [await keeper.subscribe(receiver.url(f"/healthy/{n}"), "customer.created") for n in range(_HEALTHY)]
    if hanging:
        endpoints += [
            await keeper.subscribe(receiver.url(f"/hanging/{n}"), "customer.created") for n in range(_HANGING)
        ]
    await keeper.people(scale.customers)

    def arrivals() -> list[float]:
        return [message.moment for message in receiver.messages if message.path.startswith("/healthy")]

    await until(lambda: len(arrivals()) >= scale.customers * _HEALTHY, seconds=100)
    for endpoint in endpoints:
        await keeper.call("DELETE", f"/v1/webhooks/{endpoint}")
    moments = arrivals()
    return max(moments) - min(moments)


class Poison(NamedTuple):
    """How much of it. `wait`: leases end by themselves, and the rate is asked for."""

    touches: int
    workers: int
    real: bool
    wait: bool


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(Poison(200, 1, real=False, wait=False), id="short"),
        pytest.param(
            Poison(40_000, 2, real=True, wait=True),
            id="long",
            marks=[
                pytest.mark.faults_long,
                pytest.mark.timeout(1800),
                pytest.mark.skipif(sys.platform != "linux", reason="asks /proc who sent the message"),
            ],
        ),
    ],
)
async def test_a_message_that_kills_workers_is_quarantined_and_the_others_go_on(
    ground: Ground, figure: Callable[[str], None], scale: Poison
) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve()
    async with receiving() as receiver:
        keeper = Shopkeeper(service, tenant)
        people = await keeper.people(min(scale.touches, 1000))
        await keeper.subscribe(receiver.url(), "touch.requested")
        workers = [ground.work(real=scale.real) for _ in range(scale.workers)]
        plain = await _send(keeper, people, receiver, "plain", scale.touches, scale.touches)
        assert await invariants.until_settled(ground.rows, tenant.id, seconds=10) == []

        poison: list[str] = []
        deaths: list[float] = []

        def behave(message: Message) -> Answer:
            if not poison and len(receiver.effects) >= scale.touches + 40:
                poison.append(message.id)
            if message.id not in poison:
                return Answer()
            victim = workers[0] if len(workers) == 1 else _sender(message.peer, workers)
            victim.send(signal.SIGKILL)
            deaths.append(time.monotonic())
            return Answer(hang=True)

        receiver.behave = behave
        restarting = asyncio.create_task(_restart(ground, tenant.id, workers, scale))
        begun = time.monotonic()
        await _send(keeper, people, receiver, "poisoned", scale.touches, 2 * scale.touches)
        beside = max(message.moment for message in receiver.messages if message.id not in poison) - begun
        but = frozenset({"jobs that failed or are quarantined"})
        wrong = await until_none(
            lambda: invariants.violations(ground.rows, tenant.id, but=but),
            seconds=6 * HELD_SECONDS if scale.wait else 20,
        )
        restarting.cancel()
        await asyncio.gather(restarting, return_exceptions=True)
        figure(
            f"{scale.touches} touches: {plain:.1f} s without, {beside:.1f} s with a poisoned one "
            f"({plain / beside:.0%} of the rate); workers killed by it: {len(deaths)}"
        )
        assert wrong == []
        ended = await ground.rows("select id, state, crashes from webhook_deliveries where shop_id = $1", tenant.id)
        quarantined = [(str(row["id"]), row["crashes"]) for row in ended if row["state"] == "quarantined"]
        assert quarantined == [(poison[0], 3)]
        assert len(deaths) == 3
        assert {row["state"] for row in ended if str(row["id"]) not in poison} == {"delivered"}
        assert receiver.wrong(str(row["id"]) for row in ended) == []
        if scale.wait:
            assert plain / beside >= 0.9


async def _send(
    keeper: Shopkeeper, people: Sequence[int], receiver: Receiver, name: str, count: int, arrivals: int
) -> float:
    """Seconds until so many have arrived in all."""
    begun = time.monotonic()
    for wave in range(max(1, count // len(people))):
        await keeper.touch(people, f"{name}-{wave}")
    await until(lambda: len(receiver.effects) >= arrivals, seconds=60 + count / 50)
    return time.monotonic() - begun


async def _restart(ground: Ground, shop_id: int, workers: Sequence[Child], scale: Poison) -> None:
    """What a supervisor does; without patience, the dead worker's leases end before the next one starts."""
    while True:
        for worker in workers:
            if worker.died():
                if not scale.wait:
                    await ground.time_passes(shop_id, state="sending")
                worker.start()
        await asyncio.sleep(0.02)


def _sender(peer: int, workers: Sequence[Child]) -> Child:
    """The worker whose connection it was."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{line[9]}]" for line in lines if int(line[1].partition(":")[2], 16) == peer}
    for worker in workers:
        for number in Path(f"/proc/{worker.pid}/fd").iterdir():
            with suppress(OSError):
                if os.readlink(number) in sockets:
                    return worker
    raise LookupError("nobody holds the connection any more")
