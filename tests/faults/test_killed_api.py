"""API processes that are killed while clients create customers and repeat what got no answer."""

import asyncio
import signal
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest

from tests.faults import invariants
from tests.faults.ground import Ground
from tests.faults.load import Creates
from tests.faults.waiting import until


class Scale(NamedTuple):
    """How much of it."""

    creates: int
    kills: int
    real: bool


SHORT = Scale(600, 5, real=False)
LONG = Scale(50_000, 50, real=True)


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(7200)]),
    ],
)
async def test_killed_api_processes_lose_and_double_nothing(
    ground: Ground, chance: Random, figure: Callable[[str], None], scale: Scale
) -> None:
    tenant = await ground.open_shop()
    services = [await ground.serve(real=scale.real) for _ in range(2)]
    creates = Creates(tenant, [service.port for service in services], chance)
    told = creates.told
    begun = time.monotonic()
    load = asyncio.create_task(creates.run(scale.creates))
    away = []
    for point in sorted(chance.random() * 0.9 for _ in range(scale.kills)):
        due = point * scale.creates
        await until(lambda due=due: len(told.acknowledged) >= due or load.done(), seconds=120)  # type: ignore[misc]
        victim = chance.choice(services)
        await victim.end(signal.SIGKILL)
        moment = time.monotonic()
        victim.start()
        await victim.ready()
        away.append(time.monotonic() - moment)
    async with asyncio.timeout(120):
        await load
    figure(
        f"{scale.creates} keyed creates, {scale.kills} kills in {time.monotonic() - begun:.0f} s; "
        f"answers {dict(told.statuses)}; listening again within {max(away):.1f} s"
    )
    assert told.strange == []
    assert len(told.acknowledged) == scale.creates
    assert told.statuses["broken"] > 0  # the kills met requests
    assert await invariants.unacknowledged_or_doubled(ground.rows, tenant.id, told.acknowledged) == []
    assert await invariants.unlogged(ground.rows, tenant.id, scale.creates) == []
    assert await invariants.violations(ground.rows, tenant.id, settled=False) == []
    # no worker has run, so every fact is still there: one per customer
    facts = await ground.rows("select customer_id from domain_events where shop_id = $1", tenant.id)
    assert sorted(fact["customer_id"] for fact in facts) == sorted(told.acknowledged.values())
