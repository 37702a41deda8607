"""A worker killed while it builds a segment: nobody sees half of it, and another builds it whole."""

import asyncio
import signal
from collections.abc import Callable
from random import Random

from tests.faults.ground import Ground
from tests.faults.load import Caller
from tests.faults.waiting import until_some

_CUSTOMERS = 60_000
_KILLS = 2


async def test_a_killed_build_is_whole_in_the_end(
    ground: Ground, chance: Random, figure: Callable[[str], None]
) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve()
    await ground.rows(
        """
        with people as (
            insert into customers (shop_id, id, created_at, updated_at, told_at)
            select $1, n, now(), now(), now() from generate_series(1, $2) n
        )
        insert into orders (shop_id, order_no, customer_id, origin_customer_id, status, paid_at, amount_fen, currency,
                            source_version, payload_hash, received_at)
        select $1, 'B-' || n, n, n, 'paid', now() - interval '1 day', n, 'CNY', 0, 'x', now()
        from generate_series(1, $2, 2) n
        """,
        tenant.id,
        _CUSTOMERS,
    )
    await ground.rows("analyze customers, orders")
    caller, headers = Caller([service.port], chance), {"Authorization": f"Bearer {tenant.api_key}"}
    rule = {"kind": "order", "measure": "count", "at_least": 1, "window": {"last": {"days": 30}}}
    made = await caller.ask("POST", "/v1/segments", {"name": "buyers", "rule": rule}, headers)
    assert made.status == 201, made
    number = made.json["segment_id"]
    caller.close()
    worker = ground.work()
    begun = "select 1 from segment_builds where shop_id = $1"
    killed = 0
    for _ in range(_KILLS):
        await until_some(lambda: ground.rows(begun, tenant.id), seconds=30, pause_seconds=0.005)
        await asyncio.sleep(0.3 * chance.random())
        await worker.end(signal.SIGKILL)
        (row,) = await ground.rows(
            "select (select count(*) from segment_members where shop_id = $1) as members, live_version from segments "
            "where shop_id = $1",
            tenant.id,
        )
        assert (row["members"], row["live_version"]) in ((0, None), (_CUSTOMERS // 2, 1)), dict(row)
        killed += row["live_version"] is None
        worker.start()
    ended = "select 1 from queued_jobs where shop_id = $1 and kind = 'build_segment' and state = 'done'"
    await until_some(lambda: ground.rows(ended, tenant.id), seconds=60)
    (members,) = await ground.rows(
        "select count(*) as n, bool_and(customer_id % 2 = 1) as odd from segment_members where shop_id = $1", tenant.id
    )
    (log,) = await ground.rows(
        "select count(*) as n, count(distinct customer_id) as customers, bool_and(entered) as entered "
        "from segment_changes where shop_id = $1 and segment_id = $2",
        tenant.id,
        number,
    )
    half = _CUSTOMERS // 2
    assert (members["n"], members["odd"]) == (half, True)
    assert (log["n"], log["customers"], log["entered"]) == (half, half, True)
    assert await ground.rows("select 1 from segment_builds where shop_id = $1", tenant.id) == []
    assert killed, "nobody was killed while it was built"
    figure(f"{half} of {_CUSTOMERS} customers, {killed} of {_KILLS} builds killed halfway, each entered once")
