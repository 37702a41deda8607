"""`kehu tiers`: what counts, what another definition would do, and publishing it."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from app.access.shops import Shop
from app.cli.main import app as cli
from app.scoring.tiers.schemes import VALUE
from tests.conftest import Api, Rows
from tests.scoring.tiers.test_tiers_api import MINE, jobs, populated


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.console.out.width", 200)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A definition."""
    path = tmp_path / "tiers.json"
    path.write_bytes(orjson.dumps(MINE))
    return path


async def ran(api: Api, base_url: str, *arguments: str) -> Any:
    """The command's end."""
    command = ["tiers", *arguments, "--url", base_url, "--api-key", api.client.api_key]
    return await asyncio.to_thread(CliRunner().invoke, cli, command)


async def test_shows_what_counts(api: Api, base_url: str) -> None:
    shown = await ran(api, base_url, "show")
    assert shown.exit_code == 0, shown.output
    assert "value, version 0 (built in)" in shown.output
    lines = {line.split()[0]: line for line in shown.output.splitlines() if line.strip()}
    assert "net_365d_fen top_share 0.1 among spenders and interactions_180d at_least 2" in lines["vip"]
    assert "5% to 8%" in lines["vip"]
    assert "everybody else" in lines["regular"]
    told = orjson.loads((await ran(api, base_url, "show", "--json")).stdout)
    assert told["definition"] == VALUE.stored()


async def test_previews_a_file_as_a_matrix(api: Api, base_url: str, shop: Shop, rows: Rows, file: Path) -> None:
    await populated(rows, shop)
    shown = await ran(api, base_url, "preview", str(file))
    assert shown.exit_code == 0, shown.output
    table = [line.split() for line in shown.stdout.splitlines() if line.strip()]
    assert table[0] == ["from", "to", "gold", "to", "asleep", "to", "rest"]
    assert sorted(table[1:6]) == [
        ["(none)", "0", "1", "3"],
        ["asleep", "0", "1", "0"],
        ["gold", "1", "0", "0"],
        ["rest", "1", "0", "2"],
        ["vip", "0", "1", "0"],
    ]
    assert ["gold", "2", "20.0%", "10%", "to", "20%"] in table
    assert "6 of 10 customers would move" in shown.output
    told = orjson.loads((await ran(api, base_url, "preview", "--scheme", "growth", "--json")).stdout)
    assert [row["tier"] for row in told["tiers"]] == ["high_value", "growth", "potential", "other"]


async def test_publishes_a_file_once(api: Api, base_url: str, shop: Shop, rows: Rows, file: Path) -> None:
    first = await ran(api, base_url, "publish", str(file), "--no-wait", "--json")
    assert first.exit_code == 0, first.output
    told = orjson.loads(first.stdout)
    assert (told["version"], told["state"]) == (1, "queued")
    again = await ran(api, base_url, "publish", str(file))
    assert again.exit_code == 0
    assert "version 1 is this definition already" in again.output
    assert [job["key"] for job in await jobs(rows, shop)] == ["tiers:1"]


async def test_what_is_refused_is_one_line(api: Api, base_url: str, tmp_path: Path, file: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    wrong = tmp_path / "wrong.json"
    wrong.write_bytes(orjson.dumps(MINE).replace(b"silent_days", b"silent_day"))
    for arguments, told, code in (
        ((), "say a FILE, or --scheme", 2),
        ((str(file), "--scheme", "growth"), "say a FILE, or --scheme", 2),
        ((str(tmp_path / "none.json"),), "No such file", 2),
        ((str(broken),), "broken.json is not JSON", 2),
        ((str(wrong),), "definition.tiers.1.when.0.field: there is no such field; did you mean silent_days?", 1),
        (("--scheme", "golden"), "scheme: Input should be 'value', 'growth' or 'absolute'", 1),
    ):
        for command in ("preview", "publish"):
            refused = await ran(api, base_url, command, *arguments)
            assert refused.exit_code == code, refused.output
            assert told in refused.output.replace("\n", " ")
