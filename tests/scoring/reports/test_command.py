"""`kehu scores`: the reports in the terminal, as JSON and as real pictures."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from typer.testing import CliRunner

from app.access.shops import Shop
from app.cli.main import app as cli
from tests.conftest import Api, Rows
from tests.scoring.reports.people import Json, people, write_live, write_run
from tests.scoring.reports.test_migration import FIRST, _change_of
from tests.scoring.reports.test_migration import _write as write_changes
from tests.scoring.reports.test_models import BACKTEST, FIT, write_model

AS_OF = date(2026, 3, 1)


async def _ran(api: Api, base_url: str, *arguments: str) -> Any:
    command = ["scores", *arguments, "--url", base_url, "--api-key", api.client.api_key]
    return await asyncio.to_thread(CliRunner().invoke, cli, command)


@pytest.fixture
async def told(api: Api, shop: Shop, rows: Rows) -> Json:
    """A shop with something of everything."""
    await write_live(rows, shop, people(300, shop.live_as_of()))
    run = await write_run(rows, shop, AS_OF)
    await write_model(rows, shop, run, fit=FIT, backtest=BACKTEST)
    await write_changes(rows, shop, [_change_of(1, "regular", 0), _change_of(1, "vip", 5), _change_of(2, "vip", 5)])
    answer: Json = (await api.get("/v1/scores/distribution")).json()
    return answer


async def test_the_distribution_in_the_terminal(api: Api, base_url: str, told: Json) -> None:
    ran = await _ran(api, base_url, "distribution")
    assert ran.exit_code == 0, ran.output
    assert "\x1b" not in ran.stdout
    vip = told["tiers"][0]
    assert [line.split()[:2] for line in ran.stdout.splitlines() if line.startswith("vip ") and "█" in line] == [
        ["vip", str(vip["customers"])]
    ]
    assert told["tiers"][0]["warning"] in ran.stderr.replace("\n", " ")
    for word in ("重要价值客户", "champions", "Predicted value", "Days between purchases", "366+", "price_sensitive"):
        assert word in ran.stdout
    widest = max(line.count("█") for line in ran.stdout.splitlines())
    assert widest > 20


async def test_as_json(api: Api, base_url: str, told: Json) -> None:
    assert orjson.loads((await _ran(api, base_url, "distribution", "--json")).stdout) == told
    days = ("--from", FIRST.isoformat(), "--to", "2025-02-01")
    moved = orjson.loads((await _ran(api, base_url, "migration", *days, "--json")).stdout)
    assert (moved["moved_up"], moved["entered"]) == (1, 1)
    models = orjson.loads((await _ran(api, base_url, "models", "--json")).stdout)
    assert models["purchases"] == FIT["purchases"]


async def test_a_migration_in_the_terminal(api: Api, base_url: str, told: Json) -> None:
    ran = await _ran(api, base_url, "migration", "--from", FIRST.isoformat(), "--to", "2025-02-01")
    assert ran.exit_code == 0, ran.output
    assert [line.split() for line in ran.stdout.splitlines() if line.startswith("regular")] == [
        ["regular", "1", "0", "0", "0"]
    ]
    assert [line.split() for line in ran.stdout.splitlines() if line.startswith("(not yet)")] == [
        ["(not", "yet)", "1", "0", "0", "0"]
    ]
    nothing = await _ran(api, base_url, "migration", "--from", "2025-01-02", "--to", "2025-02-01", "--of", "stage")
    assert nothing.exit_code == 0, nothing.output
    assert "no change of stage has been recorded yet" in nothing.stderr


async def test_the_models_in_the_terminal(api: Api, base_url: str, told: Json) -> None:
    ran = await _ran(api, base_url, "models")
    assert ran.exit_code == 0, ran.output
    lines = [line.split() for line in ran.stdout.splitlines()]
    for name, value in (FIT["purchases"]["parameters"] | FIT["spend"]["parameters"]).items():
        assert [name, f"{value:.4f}", f"{value:.4f}"] in lines
    assert ["converged", "yes", "yes"] in lines
    assert "BG/NBD: near" in ran.stderr
    assert "backtest: mean absolute error 0.785" in ran.stderr


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PNG"])
@pytest.mark.parametrize("report", ["distribution", "migration"])
async def test_pictures(api: Api, base_url: str, told: Json, tmp_path: Path, report: str, suffix: str) -> None:
    file = tmp_path / f"report{suffix}"
    days = ("--from", FIRST.isoformat(), "--to", "2025-02-01") if report == "migration" else ()
    ran = await _ran(api, base_url, report, *days, "--out", str(file))
    assert ran.exit_code == 0, ran.output
    assert f"wrote {file}" in ran.stderr.replace("\n", "")
    content = file.read_bytes()
    if suffix == ".svg":
        assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 our own
    else:
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert content[-8:-4] == b"IEND"
    assert len(content) > 10_000


async def test_pictures_of_nobody_and_of_names_without_glyphs(
    api: Api, base_url: str, shop: Shop, rows: Rows, tmp_path: Path
) -> None:
    """A missing glyph would warn, and a warning fails here."""
    await write_run(rows, shop, AS_OF)
    assert (await _ran(api, base_url, "distribution", "--out", str(tmp_path / "empty.png"))).exit_code == 0
    await write_live(rows, shop, [one | {"tier": "高价值"} for one in people(20, shop.live_as_of())])
    ran = await _ran(api, base_url, "distribution", "--out", str(tmp_path / "named.png"))
    assert ran.exit_code == 0, ran.output
    days = ("--from", FIRST.isoformat(), "--to", "2025-02-01")
    ran = await _ran(api, base_url, "migration", *days, "--out", str(tmp_path / "empty.svg"))
    assert ran.exit_code == 0, ran.output
    assert len(list(tmp_path.iterdir())) == 3


async def test_what_is_refused_is_one_line(api: Api, base_url: str, told: Json, tmp_path: Path) -> None:
    (tmp_path / "taken.png").mkdir()
    for arguments, reason in (
        (("distribution", "--out", str(tmp_path / "x.pdf")), "ends in .png or .svg"),
        (("distribution", "--out", str(tmp_path / "nowhere" / "x.png")), "there is no folder"),
        (("distribution", "--out", str(tmp_path / "taken.png")), "cannot be written"),
        (("distribution", "--run", "00000000-0000-0000-0000-000000000000"), "There is no such run"),
        (("migration", "--from", "2024-01-01", "--to", "2025-01-01"), "is known is 2025-01-01"),
        (("migration", "--from", "2025-01-01", "--to", "2025-01-01"), "write a day before"),
    ):
        ran = await _ran(api, base_url, *arguments)
        assert ran.exit_code in (1, 2), arguments
        assert reason in " ".join(ran.stderr.split()).replace("- ", "-"), ran.output
        assert "Traceback" not in ran.output
