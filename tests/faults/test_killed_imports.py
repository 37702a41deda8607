"""A worker that is killed in the middle of a file: another goes on at the batch where it stopped."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any

import httpx
import pytest

from tests.faults.ground import HOST, Ground
from tests.faults.waiting import until_none

ROWS = 12_000
KILLS = 3


def customers() -> str:
    """Every tenth row is wrong, and one in a hundred names somebody that an earlier row named."""
    lines = ["mobile,name,card_no"]
    for number in range(ROWS):
        mobile = "none" if number % 10 == 9 else f"154{number - number % 100 if number % 100 == 50 else number:08}"
        lines.append(f'{mobile},"客户\n{number}",C{number}')
    return "\n".join(lines)


def orders() -> str:
    """Two lines of each order, far apart."""
    lines = ["order_no,mobile,paid_at,sku,quantity,unit_price"]
    for part in ("A", "B"):
        lines += [f"N{n},154{n % 700:08},2026-01-01 10:00,{part},1,1.50" for n in range(ROWS // 2)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("kind", "content", "counts", "table"),
    [
        ("customers", customers, {"created": ROWS * 89 // 100, "refused": ROWS * 11 // 100}, "customers"),
        ("orders", orders, {"created": ROWS // 2, "refused": 0}, "orders"),
    ],
)
async def test_a_killed_worker_does_nothing_twice(
    ground: Ground,
    chance: Random,
    figure: Callable[[str], None],
    kind: str,
    content: Callable[[], str],
    counts: dict[str, int],
    table: str,
) -> None:
    tenant = await ground.open_shop()
    service = await ground.serve()
    worker = ground.work()
    begun = time.monotonic()
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{service.port}", headers=headers, timeout=60) as http:
        answer = await http.post("/v1/imports", params={"kind": kind}, content=content())
        import_id = answer.json()["id"]

        async def told() -> dict[str, Any]:
            found: dict[str, Any] = (await http.get(f"/v1/imports/{import_id}")).json()
            return found

        stopped = []
        for part in range(KILLS):
            goal = (part + chance.random()) / KILLS * 0.9 * counts["created"]
            await until_none(partial(_short_of, told, goal), seconds=60, pause_seconds=0.01)
            await asyncio.sleep(chance.random() * 0.05)
            await worker.end(signal.SIGKILL)
            now = await told()
            stopped.append(now["created"] + now["refused"])
            worker.start()
        await until_none(partial(_short_of, told, float("inf")), seconds=60)
        ended = await told()
        refused = []
        cursor = ""
        while cursor is not None:
            params = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            page = (await http.get(f"/v1/imports/{import_id}/errors", params=params)).json()
            refused += [error["line"] for error in page["items"]]
            cursor = page["next_cursor"]
    figure(f"{ROWS} rows of {kind}, killed at {stopped}, done after {time.monotonic() - begun:.1f} s")
    assert ended["state"] == "done"
    wanted = {"updated": 0, "unchanged": 0, "rows": ROWS} | counts
    assert {name: ended[name] for name in wanted} == wanted
    assert len(refused) == len(set(refused)) == counts["refused"]
    found = await ground.rows(f"select count(*) as n from {table} where shop_id = $1", tenant.id)  # noqa: S608
    assert found == [{"n": counts["created"]}]
    if kind == "customers":
        told_of = "select count(*) as n, max(version) as version from customers where shop_id = $1"
        assert await ground.rows(told_of, tenant.id) == [{"n": counts["created"], "version": 1}]
    assert await ground.rows("select 1 from import_chunks where shop_id = $1", tenant.id) == []


async def _short_of(told: Callable[[], Awaitable[dict[str, Any]]], goal: float) -> list[str]:
    """Its state, while the import is under way and has made fewer than so many."""
    now = await told()
    return [now["state"]] if now["state"] in ("queued", "running") and now["created"] < goal else []
