"""The UCI script keeps complete lines, and script and importer agree on the data set's published totals."""

import gzip
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.imports.order_rows import LAYOUT, read_orders
from app.imports.rows import Outgoing
from app.orders.schemas import OrderWrite
from examples import uci_to_orders
from tests.imports.files import asked, opened

REAL = Path(__file__).parents[3] / "shared" / "data" / "uci_online_retail" / "lines.csv.gz"
LINES = """\
invoice_no,line_no,stock_code,description,quantity,invoice_time,unit_price,customer_id,country
9001,1,A1,"CUP, BLUE",3,2011-01-04 10:00,0.335,501,United Kingdom
9001,2,A2,PLATE,1,2011-01-04 09:59,10.00,501,United Kingdom
9002,1,A1,"CUP, BLUE",1,2011-01-04 11:00,0.005,502,France
C9003,1,A1,"CUP, BLUE",-1,2011-01-04 12:00,0.335,501,United Kingdom
9004,1,A1,"CUP, BLUE",2,2011-01-04 12:00,0.335,,United Kingdom
9005,1,A3,GIFT,2,2011-01-04 12:00,0,501,United Kingdom
9006,1,A3,DAMAGED,-2,2011-01-04 12:00,1.00,501,United Kingdom
"""


def imported(path: Path) -> tuple[int, int, int]:
    """Orders, customers and fen that the importer makes of a file; every row must be good."""
    orders = fen = 0
    customers = set()
    with opened(path, LAYOUT) as file, asked("uci", ZoneInfo("Europe/London")) as how:
        for unit in read_orders(file.rows, how):
            if unit is None:
                continue
            assert isinstance(unit, Outgoing)
            order: OrderWrite = unit.payload
            orders += 1
            fen += order.amount_fen
            customers.add(order.identities[0].value)
    return orders, len(customers), fen


@pytest.mark.parametrize("zipped", [True, False])
def test_complete_lines_become_an_order_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], zipped: bool) -> None:
    source, target = tmp_path / "lines", tmp_path / "orders.csv"
    source.write_bytes(gzip.compress(LINES.encode()) if zipped else LINES.encode())
    assert uci_to_orders.main([str(source), str(target)]) == 0
    assert capsys.readouterr().out == "3 lines, 2 orders, 2 customers, 11.02 in total\n"
    assert target.read_text() == (
        "order_no,external_id,paid_at,sku,name,quantity,unit_price\n"
        '9001,501,2011-01-04 10:00,A1,"CUP, BLUE",3,0.335\n'
        "9001,501,2011-01-04 09:59,A2,PLATE,1,10.00\n"
        '9002,502,2011-01-04 11:00,A1,"CUP, BLUE",1,0.005\n'
    )
    assert imported(target) == (2, 2, 1102)


@pytest.mark.parametrize(
    ("content", "says"),
    [("invoice_no,quantity\n", "has no column stock_code, description"), (LINES.replace("0.335", "dear"), "")],
)
def test_files_that_are_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, says: str
) -> None:
    source = tmp_path / "lines.csv"
    source.write_text(content)
    assert uci_to_orders.main([str(source), str(tmp_path / "orders.csv")]) == 1
    assert says in capsys.readouterr().err
    assert uci_to_orders.main([str(tmp_path / "missing"), str(tmp_path / "orders.csv")]) == 1


@pytest.mark.skipif(not REAL.exists(), reason="the UCI data set is not beside the project")
def test_the_published_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "orders.csv"
    assert uci_to_orders.main([str(REAL), str(target)]) == 0
    assert capsys.readouterr().out == ("397,884 lines, 18,532 orders, 4,338 customers, 8,911,407.90 in total\n")
    assert imported(target) == (18_532, 4_338, 891_140_790)
