"""The client that `kehu import` is: uploads, follows, and writes down what was left out."""

import asyncio
import csv
import gzip
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.core import clock
from app.core.cells import harmless
from app.imports import client, service
from app.imports.errors import FileRefused, ServerRefused
from app.imports.report import Report
from tests.conftest import Api, Rows
from tests.imports.files import put_in
from tests.imports.test_imports import Work, people


async def test_what_is_left_out_stands_beside_the_file(api: Api, work: Work, base_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv.gz"
    path.write_bytes(gzip.compress((people(300) + "12,x,y,\n" * 250).encode()))
    seen: list[str] = []
    result = await put_in(
        "customers", path, api, base_url, work, source="crm", on_progress=lambda told: seen.append(told["state"])
    )
    assert (result.state, result.rows, result.created, result.refused) == ("done", 550, 300, 250)
    assert result.unknown_columns == ("喜好",)
    assert seen[-1] == "done"
    assert result.report_path == tmp_path / "people.refused.csv"
    assert result.report_path.stat().st_mode & 0o777 == 0o600
    with result.report_path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["line"] for row in rows] == [str(line) for line in range(302, 552)]
    assert {row["field"] for row in rows} == {"mobile"}
    assert all(row["reason"] and row["remedy"] for row in rows)


async def test_a_good_file_leaves_no_report(api: Api, work: Work, base_url: str, tmp_path: Path) -> None:
    path = tmp_path / "one.ndjson"
    path.write_text('{"identities":[{"kind":"card_no","value":"K1"}]}\n')
    result = await put_in("customers", path, api, base_url, work, dry_run=True)
    assert (result.created, result.report_path) == (1, None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.ndjson"]


async def test_refusals_are_one_line(api: Api, work: Work, base_url: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("colour\nred\n")
    with pytest.raises(FileRefused, match=r"odd\.csv: The header has no column for who the customer is"):
        await put_in("customers", path, api, base_url, work)
    with pytest.raises(FileRefused, match="Cannot read"):
        await put_in("customers", tmp_path / "missing.csv", api, base_url, work)
    with pytest.raises(ServerRefused, match="401 credential_unknown"):
        await client.import_file("customers", path, base_url=base_url, api_key="other")
    with pytest.raises(ServerRefused, match="broke off: ConnectError"):
        await client.import_file("customers", path, base_url="http://127.0.0.1:9", api_key="other")


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://localhost", "http://"])
async def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ServerRefused):
        client.connect(address, "key")


@pytest.mark.parametrize(
    ("text", "written"),
    [("=1+1", "'=1+1"), (" @SUM(A1)", "' @SUM(A1)"), ("\tx", "'\tx"), ("－1", "'－1"), ("a=b", "a=b"), ("", "")],
)
def test_no_cell_of_a_report_is_a_formula(text: str, written: str) -> None:
    assert harmless(text) == written


def test_no_report_without_a_refusal(tmp_path: Path) -> None:
    with Report(tmp_path / "report.csv") as report:
        assert report.path is None
    assert not (tmp_path / "report.csv").exists()
    with pytest.raises(FileRefused, match="Cannot write the report"), Report(tmp_path / "no" / "report.csv") as report:
        report.add(2, "mobile", "bad", "mend it")


async def test_an_upload_that_breaks_off_is_dropped(
    api: Api, base_url: str, shop: Shop, entry: Entry, rows: Rows
) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"mobile,name\n" + b"15400000001,A\n" * 60_000
        raise ConnectionResetError

    headers = {"Authorization": f"Bearer {api.client.api_key}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers) as http:
        with pytest.raises(ConnectionResetError):
            await http.post("/v1/imports", params={"kind": "customers"}, content=half())
    # Had its process died instead, nobody would have dropped it but the house, after an hour without a byte.
    async with entry.shop(shop.id) as (db, shop):
        asked = {"kind": "tags", "format": "csv", "policy": "overwrite", "dry_run": False, "source": "s"}
        stranded = await service.open_import(db, shop, "somebody", **asked)
        await service.add_chunk(db, shop, stranded, 0, b"mobile")
        assert await service.tidy(db, shop) == 0
    await rows(
        "update imports set touched_at = $2 where id = $1 returning 1", stranded, clock.now() - timedelta(hours=2)
    )
    async with entry.shop(shop.id) as (db, shop):
        assert await service.tidy(db, shop) == 1
    async with asyncio.timeout(10):  # the server hears of it in its own time
        while await rows("select 1 from imports where shop_id = $1 and state <> 'abandoned'", shop.id):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert len(await rows("select 1 from imports where shop_id = $1", shop.id)) == 2
    assert await rows("select 1 from import_chunks where shop_id = $1", shop.id) == []
