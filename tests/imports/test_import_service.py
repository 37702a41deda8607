"""Whole imports against a small server on loopback that keeps what it is sent and can be told to misbehave."""

import csv
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.imports.client import Patience, batches, column
from app.imports.errors import FileRefused, ServerRefused
from app.imports.report import Report, harmless
from app.imports.rows import Outgoing, RowError
from app.imports.service import import_customers, import_orders

KEY = "kehu_live_test"
HASTE = Patience(attempts=4, first_seconds=0.01, longest_seconds=0.02)
Answer = tuple[int, dict[str, str], dict[str, Any]]


@dataclass
class Stub:
    """What the server knows and how it behaves. `troubles` are answered first; `judge` may refuse a row or a body."""

    base_url: str = ""
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    troubles: list[Answer] = field(default_factory=list)
    judge: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda row: None
    spoil: Callable[[str, list[dict[str, Any]]], Answer | None] = lambda name, rows: None
    delay_seconds: float = 0.0
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, name: str, rows: list[dict[str, Any]]) -> Answer:
        with self.lock:
            self.sizes.append(len(rows))
            if self.troubles:
                return self.troubles.pop(0)
            if spoilt := self.spoil(name, rows):
                return spoilt
            results = [{"index": index, **self.take(row)} for index, row in enumerate(rows)]
        return 200, {}, {"results": results}

    def take(self, row: dict[str, Any]) -> dict[str, Any]:
        if error := self.judge(row):
            return {"status": "refused", "customer_id": None, "error": error}
        key = row.get("order_no") or json.dumps(row["identities"][0])
        before = self.kept.get(key)
        self.kept[key] = row
        return {"status": "created" if before is None else "unchanged" if before == row else "updated", "error": None}


def problem(status: int, code: str, **more: Any) -> Answer:
    return status, {}, {"type": "about:blank", "title": code, "status": status, "code": code, "detail": "no", **more}


class Handler(BaseHTTPRequestHandler):
    stub: Stub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self.reply(*problem(401, "credential_unknown"))
        else:
            self.reply(200, {}, {"shop_id": 1, "name": "Stub", "timezone": "Asia/Shanghai"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ((name, rows),) = body.items()
        assert self.path == f"/v1/{name}/batch"
        with self.stub.lock:
            self.stub.at_once += 1
            self.stub.most_at_once = max(self.stub.most_at_once, self.stub.at_once)
        time.sleep(self.stub.delay_seconds)
        with self.stub.lock:
            self.stub.at_once -= 1
        self.reply(*self.stub.answer(name, rows))

    def reply(self, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
        if status == 0:  # the connection breaks before an answer
            self.close_connection = True
            return
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    state = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.base_url = f"http://127.0.0.1:{server.server_address[1]}/"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def customers_file(path: Path, count: int) -> Path:
    lines = ["手机号,姓名,会员编号,喜好"]
    lines += [f"154{number:08},客户{number},M{number}," for number in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


def report_rows(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


async def test_a_file_goes_in_once_and_changes_nothing_the_second_time(stub: Stub, tmp_path: Path) -> None:
    stub.delay_seconds = 0.3  # long enough that two are under way at once, on a busy machine too
    path = customers_file(tmp_path / "customers.csv", 2500)
    seen: list[tuple[int, int]] = []
    first = await import_customers(
        path, base_url=stub.base_url, api_key=KEY, source="crm", on_progress=lambda *counts: seen.append(counts)
    )
    assert (first.rows, first.created, first.updated, first.unchanged, first.refused) == (2500, 2500, 0, 0, 0)
    assert first.unknown_columns == ("喜好",)
    assert first.report_path is None
    assert sorted(stub.sizes) == [500, 1000, 1000]
    assert stub.most_at_once == 2
    assert seen[-1] == (2500, 0)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert stub.kept['{"kind": "external_id", "value": "M7", "scope": "crm"}']["name"] == "客户7"

    again = await import_customers(path, base_url=stub.base_url, api_key=KEY, source="crm")
    assert (again.created, again.updated, again.unchanged, again.refused) == (0, 0, 2500, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["customers.csv"]


async def test_bad_rows_are_reported_and_good_ones_kept(stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text(
        "mobile,name,gender,store_id\n"
        "15400000001,A,2,1\n"
        "=cmd(),B,2,1\n"
        "15400000003,C,9,1\n"
        "15400000004,D,1,77\n"
        "15400000001,E,1,1\n"
    )
    stub.judge = lambda row: (
        {"code": "store_unknown", "detail": "-store 77 is not known", "field": "store_id"}
        if row["store_id"] == 77
        else None
    )
    result = await import_customers(path, base_url=stub.base_url, api_key=KEY)
    assert (result.rows, result.created, result.refused, result.checked) == (5, 1, 4, 2)
    assert result.report_path == tmp_path / "customers.refused.csv"
    assert result.report_path.stat().st_mode & 0o777 == 0o600
    rows = report_rows(result.report_path)
    assert [(row["line"], row["field"]) for row in rows] == [
        ("3", "mobile"),
        ("4", "gender"),
        ("6", "mobile"),
        ("5", "store_id"),
    ]
    assert rows[3]["reason"] == "'-store 77 is not known"
    assert all(row["remedy"] for row in rows)
    assert next(iter(stub.kept.values()))["name"] == "A"


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
        report.add(RowError(2, "mobile", "bad"))


async def test_a_dry_run_checks_and_sends_nothing(stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("mobile,name\n15400000001,A\nnobody,B\n")
    result = await import_customers(path, base_url=stub.base_url, api_key=KEY, dry_run=True)
    assert (result.rows, result.checked, result.created, result.refused) == (2, 1, 0, 1)
    assert stub.sizes == []


async def test_lines_become_orders_over_the_wire(stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "order_no,external_id,paid_at,sku,quantity,unit_price\n"
        "1,C1,2010-12-01 08:27,S1,3,0.335\n"
        "2,C2,2010-12-01 09:00,S1,1,5\n"
        "1,C1,2010-12-01 08:26,S2,1,10\n"
        "3,C3,2010-12-01 09:00,S1,-1,5\n"
    )
    result = await import_orders(path, base_url=stub.base_url, api_key=KEY, source="uci")
    assert (result.rows, result.created, result.refused) == (4, 2, 1)
    assert stub.kept["1"]["amount_fen"] == 1101
    assert stub.kept["1"]["paid_at"] == "2010-12-01T00:26:00Z"
    assert stub.kept["1"]["identities"] == [{"kind": "external_id", "value": "C1", "scope": "uci"}]
    assert report_rows(result.report_path)[0]["line"] == "5"
    again = await import_orders(path, base_url=stub.base_url, api_key=KEY, source="uci")
    assert (again.created, again.updated, again.unchanged) == (0, 0, 2)


async def test_a_busy_or_absent_server_is_asked_again(stub: Stub, tmp_path: Path) -> None:
    path = customers_file(tmp_path / "customers.csv", 10)
    stub.troubles = [
        (503, {"Retry-After": "0"}, {}),
        (0, {}, {}),
        (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}),
    ]
    result = await import_customers(path, base_url=stub.base_url, api_key=KEY, patience=HASTE)
    assert result.created == 10
    assert stub.sizes == [10, 10, 10, 10]


async def test_retry_after_is_honoured(stub: Stub, tmp_path: Path) -> None:
    path = customers_file(tmp_path / "customers.csv", 1)
    stub.troubles = [(429, {"Retry-After": "1"}, {})]
    assert (await import_customers(path, base_url=stub.base_url, api_key=KEY, patience=HASTE)).seconds >= 1


async def test_patience_ends(stub: Stub, tmp_path: Path) -> None:
    path = customers_file(tmp_path / "customers.csv", 1)
    stub.troubles = [(503, {}, {"code": "database_unavailable"})] * 9
    with pytest.raises(ServerRefused, match="after 4 attempts: 503 database_unavailable"):
        await import_customers(path, base_url=stub.base_url, api_key=KEY, patience=HASTE)
    assert len(stub.sizes) == 4


@pytest.mark.parametrize("named", [True, False], ids=["rows named", "rows not named"])
async def test_a_body_refused_for_a_few_rows_goes_in_without_them(stub: Stub, tmp_path: Path, named: bool) -> None:
    def spoil(name: str, rows: list[dict[str, Any]]) -> Answer | None:
        bad = [index for index, row in enumerate(rows) if row["name"] in ("客户3", "客户77")]
        path = f"body.{name}.{{}}.identities.1.value" if named else "identities.1.value"
        errors = [{"field": path.format(index), "message": "not this one"} for index in bad]
        return problem(422, "invalid", errors=errors) if bad else None

    stub.spoil = spoil
    path = customers_file(tmp_path / "customers.csv", 100)
    result = await import_customers(path, base_url=stub.base_url, api_key=KEY)
    assert (result.created, result.refused) == (98, 2)
    rows = report_rows(result.report_path)
    found = sorted((row["line"], row["field"], row["reason"]) for row in rows)
    assert found == [("5", "mobile", "not this one"), ("79", "mobile", "not this one")]
    assert len(stub.sizes) == (2 if named else len(stub.sizes))


async def test_a_body_too_large_is_halved(stub: Stub, tmp_path: Path) -> None:
    stub.spoil = lambda name, rows: problem(413, "body_too_large") if len(rows) > 30 else None
    path = customers_file(tmp_path / "customers.csv", 100)
    assert (await import_customers(path, base_url=stub.base_url, api_key=KEY)).created == 100


async def test_a_refused_key_ends_the_import(stub: Stub, tmp_path: Path) -> None:
    path = customers_file(tmp_path / "customers.csv", 1)
    with pytest.raises(ServerRefused, match="401 credential_unknown"):
        await import_customers(path, base_url=stub.base_url, api_key="other")
    stub.troubles = [problem(403, "scope_missing")]
    with pytest.raises(ServerRefused, match="403 scope_missing"):
        await import_customers(path, base_url=stub.base_url, api_key=KEY)


@pytest.mark.parametrize("base_url", ["localhost:8000", "ftp://localhost", "http://"])
async def test_addresses_that_are_none(tmp_path: Path, base_url: str) -> None:
    path = customers_file(tmp_path / "customers.csv", 1)
    with pytest.raises(ServerRefused):
        await import_customers(path, base_url=base_url, api_key=KEY)


async def test_an_answer_that_is_not_ours(stub: Stub, tmp_path: Path) -> None:
    path = customers_file(tmp_path / "customers.csv", 1)
    stub.troubles = [(200, {}, {"hello": "world"})]
    with pytest.raises(ServerRefused, match="is this a Kehu address"):
        await import_customers(path, base_url=stub.base_url, api_key=KEY)


async def test_nobody_listens(tmp_path: Path) -> None:
    path = customers_file(tmp_path / "customers.csv", 1)
    with pytest.raises(ServerRefused, match=r"No answer from http://127\.0\.0\.1:9 after 3 attempts"):
        await import_customers(path, base_url="http://127.0.0.1:9", api_key=KEY, patience=HASTE)


def test_batches_stay_within_rows_and_bytes() -> None:
    refused: list[RowError] = []
    records = iter([Outgoing(line, {"n": "x" * (line * 10)}) for line in range(1, 60)])
    made = list(batches(records, refused.append, rows=7, size=512))
    assert all(len(batch) <= 7 and sum(len(row.body) + 1 for row in batch) + 64 <= 512 + 64 for batch in made)
    assert [row.line for batch in made for row in batch] + [error.line for error in refused] == list(range(1, 60))
    assert "more than one call may carry" in refused[0].reason


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("body.orders.0.amount_fen", "amount"),
        ("/orders/0/items/2/price_fen", "unit_price"),
        ("orders[0].paid_at", "paid_at"),
        ("identities.1.value", "mobile"),
        ("identities", "identities"),
        (None, ""),
    ],
)
def test_server_fields_are_told_as_columns(field: str | None, name: str) -> None:
    assert column(field, b'{"identities":[{"kind":"external_id"},{"kind":"mobile"}]}') == name
