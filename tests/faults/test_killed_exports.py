"""A worker killed in the middle of an export: the next one goes on where it was, with no row twice and none missing."""

import asyncio
import signal
from collections.abc import Callable
from random import Random

import orjson

from tests.faults.ground import Ground
from tests.faults.load import Caller

_ROWS = 30_000


async def test_a_killed_workers_export_is_whole(ground: Ground, chance: Random, figure: Callable[[str], None]) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve()
    await ground.rows(
        """
        with people as (
            insert into customers (shop_id, id, created_at, updated_at, told_at)
            select $1, n, now(), now(), now() from generate_series(1, 100) n
        )
        insert into orders (shop_id, order_no, customer_id, origin_customer_id, status, amount_fen, currency,
                            source_version, payload_hash, received_at)
        select $1, 'E-' || n, 1 + n % 100, 1 + n % 100, 'paid', n, 'CNY', 0, 'x', now() from generate_series(1, $2) n
        """,
        tenant.id,
        _ROWS,
    )
    caller, headers = Caller([service.port], chance), {"Authorization": f"Bearer {tenant.api_key}"}
    asked = await caller.ask("POST", "/v1/exports", {"kind": "orders", "columns": ["order_no"]}, headers)
    assert asked.status == 202, asked
    caller.close()  # the service gives up a connection that idles
    worker = ground.work()
    kills: list[int] = []

    async def chunks(state: str, least: int) -> int:
        """Wait until it has so many chunks, or that state. Returns how many."""
        async with asyncio.timeout(30):
            while True:
                (row,) = await ground.rows("select chunks, state from exports where shop_id = $1", tenant.id)
                if row["chunks"] >= least or row["state"] == state:
                    return int(row["chunks"])

    for point in sorted(chance.sample(range(1, 12), 2)):
        kills.append(await chunks("done", point))
        await worker.end(signal.SIGKILL)
        worker.start()
    await chunks("done", _ROWS)
    answer = await caller.ask("GET", f"/v1/exports/{asked.json['id']}/content", None, headers)
    caller.close()
    found = [orjson.loads(line)["order_no"] for line in answer.body.splitlines()]
    assert len(found) == len(set(found)) == _ROWS
    (job,) = await ground.rows("select attempt from queued_jobs where shop_id = $1 and kind = 'export'", tenant.id)
    assert job["attempt"] > 1, "nobody was killed while it ran"
    figure(f"{_ROWS} rows, workers killed at chunks {kills}, {job['attempt']} attempts, every row once")
