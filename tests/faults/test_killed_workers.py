"""Workers that are killed, and one that stands still for longer than its lease."""

import asyncio
import signal
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest

from tests.faults import invariants
from tests.faults.ground import HELD_SECONDS, Child, Ground
from tests.faults.load import Shopkeeper
from tests.faults.receiver import Answer, Message, receiving
from tests.faults.waiting import until


class Scale(NamedTuple):
    """How much of it, and with processes that import for themselves or not."""

    touches: int
    kills: int
    real: bool


SHORT = Scale(1_000, 5, real=False)
LONG = Scale(100_000, 100, real=True)
_AUDIENCE = 250


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(7200)]),
    ],
)
async def test_killed_workers_lose_and_double_nothing(
    ground: Ground, chance: Random, figure: Callable[[str], None], scale: Scale
) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve()
    async with receiving() as receiver:
        receiver.behave = lambda _: Answer(after_seconds=0.02)
        keeper = Shopkeeper(service, tenant)
        people = await keeper.people(_AUDIENCE)
        await keeper.subscribe(receiver.url(), "touch.requested")
        workers = [ground.work(real=scale.real) for _ in range(2)]
        begun = time.monotonic()
        asking = asyncio.create_task(_ask(keeper, people, scale.touches // _AUDIENCE, lambda: len(receiver.effects)))
        # some while touches are planned, the others spread over the deliveries
        points = sorted(chance.random() * 0.9 for _ in range(scale.kills))
        kills = []
        for point in points:
            await until(lambda point=point: len(receiver.effects) >= point * scale.touches, seconds=120)  # type: ignore[misc]
            kills.append(await _kill_one(workers, chance))
            await asyncio.sleep(chance.random() * 0.3)
        await asking
        await until(lambda: len(receiver.effects) >= scale.touches, seconds=120)
        wrong = await invariants.until_settled(ground.rows, tenant.id, seconds=4 * HELD_SECONDS)
        resumed = [_seconds_to_next(receiver.messages, moment) for moment in kills]
        figure(
            f"{scale.touches} touches, {scale.kills} kills in {time.monotonic() - begun:.0f} s; repeats "
            f"{receiver.repeats()}; next delivery after a kill at most {max(resumed):.1f} s; longest pause "
            f"{receiver.longest_gap(begun):.1f} s"
        )
        assert wrong == []
        touches = await ground.rows("select id, state from touches where shop_id = $1", tenant.id)
        assert len(touches) == scale.touches
        assert {row["state"] for row in touches} == {"delivered"}
        assert receiver.wrong(str(row["id"]) for row in touches) == []
        assert max(resumed) <= 60


async def _ask(keeper: Shopkeeper, people: list[int], requests: int, arrived: Callable[[], int]) -> None:
    """Ask for the touches a few requests ahead of the deliveries, so that planning is under fire as well."""
    for number in range(requests):
        due = (number - 3) * len(people)
        await until(lambda due=due: arrived() >= due, seconds=120)  # type: ignore[misc]
        await keeper.touch(people, f"wave-{number}")


async def _kill_one(workers: list[Child], chance: Random) -> float:
    victim = chance.choice(workers)
    await victim.end(signal.SIGKILL)
    moment = time.monotonic()
    victim.start()
    return moment


def _seconds_to_next(messages: list[Message], moment: float) -> float:
    later = [message.moment for message in messages if message.moment >= moment]
    return min(later, default=moment) - moment


async def test_a_worker_that_stood_still_writes_nothing_stale(ground: Ground, figure: Callable[[str], None]) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve()
    async with receiving() as receiver:
        keeper = Shopkeeper(service, tenant)
        people = await keeper.people(60)
        await keeper.subscribe(receiver.url(), "touch.requested")
        sleeper = ground.work()
        # it has sent these, and is frozen before it can read that they were accepted
        receiver.behave = lambda _: Answer(after_seconds=0.3)
        await keeper.touch(people, "frozen")
        await until(lambda: receiver.open >= 8, seconds=20)
        sleeper.send(signal.SIGSTOP)
        frozen, held = time.monotonic(), {message.id for message in receiver.messages}
        receiver.behave = lambda _: Answer()
        ground.work()
        wrong = await invariants.until_settled(ground.rows, tenant.id, seconds=6 * HELD_SECONDS)
        assert wrong == []
        assert time.monotonic() - frozen > HELD_SECONDS
        before = await invariants.written(ground.rows, tenant.id)
        sleeper.send(signal.SIGCONT)
        await until(lambda: sleeper.said("stale_results_refused") > 0, seconds=20)
        await asyncio.sleep(0.5)
        assert await invariants.written(ground.rows, tenant.id) == before
        assert await invariants.violations(ground.rows, tenant.id) == []
        assert receiver.wrong(await invariants.owed(ground.rows, tenant.id)) == []
        attempts = await ground.rows(
            "select attempt from webhook_attempts where shop_id = $1 and delivery_id = any($2::uuid[])",
            tenant.id,
            sorted(held),
        )
        assert {row["attempt"] for row in attempts} == {2}
        figure(f"{len(held)} results of a worker that woke up, accepted 0")
