"""`kehu export KIND FILE`: asks, waits, fetches, and leaves no copy behind."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from typer.testing import CliRunner

from app.access.shops import Shop
from app.cli.main import app as cli
from tests.conftest import Api, Rows

Work = Callable[[], Awaitable[None]]


async def _ran(api: Api, base_url: str, work: Work, *arguments: str) -> Any:
    command = ["export", *arguments, "--url", base_url, "--api-key", api.client.api_key]
    running = asyncio.create_task(asyncio.to_thread(CliRunner().invoke, cli, command))
    while not running.done():
        await work()
        await asyncio.sleep(0.02)
    return await running


async def test_a_file_for_its_owner_only(
    api: Api, base_url: str, work: Work, tmp_path: Path, rows: Rows, shop: Shop
) -> None:
    people = [{"identities": [{"kind": "card_no", "value": f"C{n}"}], "store_id": n % 2 + 1} for n in range(10)]
    await api.post("/v1/customers/batch", {"customers": people})
    file = tmp_path / "customers.ndjson"
    ran = await _ran(api, base_url, work, "customers", str(file), "--filter", "store_id=2", "--columns", "id,store_id")
    assert ran.exit_code == 0, ran.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [orjson.loads(line) for line in file.read_text().splitlines()]
    assert [list(line) for line in lines] == [["id", "store_id"]] * 5
    assert {line["store_id"] for line in lines} == {2}
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    await work()
    assert await rows("select 1 from export_chunks where shop_id = $1", shop.id) == []
    assert [row["state"] for row in await rows("select state from exports where shop_id = $1", shop.id)] == ["expired"]


async def test_what_is_refused_is_one_line(api: Api, base_url: str, work: Work, tmp_path: Path) -> None:
    for arguments, told in (
        (("orders", str(tmp_path / "x"), "--filter", "tier=vip"), "orders are narrowed by"),
        (("orders", str(tmp_path / "x"), "--filter", "tier"), "write name=value"),
        (("customers", str(tmp_path / "x"), "--unmasked"), "needs a reason"),
        (("orders", "--run", "0"), "--run goes with scores alone"),
    ):
        ran = await _ran(api, base_url, work, *arguments)
        assert ran.exit_code in (1, 2)
        assert told in ran.output.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


async def test_scores_of_a_run(api: Api, base_url: str, work: Work) -> None:
    await api.post("/v1/customers", {"identities": [{"kind": "card_no", "value": "C1"}], "created_at": "2025-01-01"})
    run = (await api.post("/v1/triggers/rescore", {"as_of": "2026-02-01"})).json()["run_id"]
    await work()
    ran = await _ran(api, base_url, work, "scores", "--run", run)
    assert ran.exit_code == 0, ran.output
    assert orjson.loads(ran.stdout.splitlines()[0])["run_id"] == run
