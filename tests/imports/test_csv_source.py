"""Files in every state of repair come out as rows, with the damage confined to the lines that have it."""

from pathlib import Path

import pytest

from app.imports import customer_rows, order_rows
from app.imports.csv_source import MAX_LINE_BYTES
from app.imports.errors import FileRefused
from app.imports.rows import Row
from tests.imports.files import opened

HEADER = "手机号,姓名,备注\n"


def rows_of(path: Path, content: bytes | str) -> list[Row]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with opened(path, customer_rows.LAYOUT) as file:
        rows = list(file.rows)
        assert file.rows_read == len(rows)
        return rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "customers.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_delimiters(path: Path, encoding: str, delimiter: str, newline: str) -> None:
    lines = [["手机号", "姓名", "备注"], ["15400000001", "陈雨", "喜欢,清淡;香型"], ["15400000002", "李雪", ""]]
    text = newline.join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    assert rows_of(path, text.encode(encoding)) == [
        Row(2, {"mobile": "15400000001", "name": "陈雨", "remark": "喜欢,清淡;香型"}),
        Row(3, {"mobile": "15400000002", "name": "李雪"}),
    ]


def test_one_damaged_line_does_not_change_the_encoding_of_the_others(path: Path) -> None:
    content = (HEADER + "1,陈雨\n2,李雪\n3,").encode() + b"\xff\xfe\n" + "4,王琳\n".encode()
    rows = rows_of(path, content)
    assert [row.cells["name"] for row in rows if not row.fault] == ["陈雨", "李雪", "王琳"]
    assert [(row.line, row.fault) for row in rows if row.fault] == [(4, "the line is not UTF-8 text")]


def test_ragged_and_empty_rows(path: Path) -> None:
    rows = rows_of(path, HEADER + "1\n\n2,A,B,,\n,,\n   \n3,A,B,C\n")
    assert rows == [
        Row(2, {"mobile": "1"}),
        Row(4, {"mobile": "2", "name": "A", "remark": "B"}),
        Row(7, {"mobile": "3", "name": "A", "remark": "B"}, "the row has 4 cells where the header has 3"),
    ]


def test_a_long_line_is_skipped_and_named(path: Path) -> None:
    long = b"2," + b"x" * (MAX_LINE_BYTES + 70_000)
    rows = rows_of(path, HEADER.encode() + b"1,A,\n" + long + b"\n3,C,\n")
    assert rows == [
        Row(2, {"mobile": "1", "name": "A"}),
        Row(3, {}, "the line is longer than 1,048,576 bytes"),
        Row(4, {"mobile": "3", "name": "C"}),
    ]


def test_a_cell_beyond_the_parsers_limit_costs_its_line_only(path: Path) -> None:
    rows = rows_of(path, HEADER + "1," + "x" * 140_000 + ",\n2,B,\n")
    assert rows[0].line == 2
    assert "field larger than field limit" in rows[0].fault
    assert rows[1] == Row(3, {"mobile": "2", "name": "B"})


def test_quoted_cells_may_run_over_lines(path: Path) -> None:
    rows = rows_of(path, HEADER + '1,A,"one\ntwo, ""three"""\n2,B,\n')
    assert rows == [
        Row(2, {"mobile": "1", "name": "A", "remark": 'one\ntwo, "three"'}),
        Row(4, {"mobile": "2", "name": "B"}),
    ]


@pytest.mark.parametrize("tail", ["2,B,\n3,C,\n", "2,B,\n3,C,\n" + "4,D,\n" * 40_000], ids=["to the end", "very long"])
def test_an_unclosed_quote_costs_one_line(path: Path, tail: str) -> None:
    rows = rows_of(path, HEADER + '1,"A,\n' + tail)
    assert (rows[0].line, rows[0].fault) == (2, "a quote opened on this line is not closed, or not before a delimiter")
    assert rows[0].cells["mobile"] == "1"
    assert rows[1:3] == [Row(3, {"mobile": "2", "name": "B"}), Row(4, {"mobile": "3", "name": "C"})]
    assert len(rows) == 1 + tail.count("\n")


def test_two_stray_quotes_do_not_swallow_what_is_between(path: Path) -> None:
    rows = rows_of(path, HEADER + '1,"A,\n2,B,\n3,"C,\n4,D,\n')
    assert [(row.line, bool(row.fault)) for row in rows] == [(2, True), (3, False), (4, True), (5, False)]


def test_quotes_inside_cells_are_kept(path: Path) -> None:
    assert [row.cells["name"] for row in rows_of(path, HEADER + '1,5" brush,\n2,"A"B,\n')] == ['5" brush', "AB"]


def test_nul_is_a_fault(path: Path) -> None:
    assert rows_of(path, HEADER + "1,A\0B,\n")[0].fault == "the line contains a NUL character"


def test_cells_lose_space_and_the_formula_that_protects_numbers(path: Path) -> None:
    content = HEADER + '="15400000001",\u3000陈雨 ,\n\t15400000002,,\n'
    assert [row.cells["mobile"] for row in rows_of(path, content)] == ["15400000001", "15400000002"]


def test_unknown_columns_are_told_once(path: Path) -> None:
    path.write_text("mobile,口味,name,Shoe Size\n1,辣,A,38\n")
    with opened(path, customer_rows.LAYOUT) as file:
        assert file.header.unknown == ("口味", "Shoe Size")
        assert [row.cells for row in file.rows] == [{"mobile": "1", "name": "A"}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("姓名,备注\n", "no column for who the customer is. Accepted: external_id (外部编号"),
        ("手机号,mobile\n", "The columns 1 and 2 both mean mobile"),
        (b"\xff\xfem\x00o\x00", "UTF-16"),
        ("x" * (MAX_LINE_BYTES + 1), "longer than 1,048,576 bytes"),
    ],
)
def test_files_that_cannot_be_imported(path: Path, content: bytes | str, says: str) -> None:
    with pytest.raises(FileRefused) as refused:
        rows_of(path, content)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("mobile,paid_at,amount", "for the order number. Accepted: order_no (订单号, "),
        ("订单号,付款时间,金额", "for who ordered."),
        ("order_no,mobile,amount", "for the time of payment. Accepted: paid_at (付款时间, "),
        ("order_no,mobile,paid_at,quantity", "; or quantity (数量, "),
    ],
)
def test_order_files_say_what_is_missing(path: Path, header: str, says: str) -> None:
    path.write_text(header + "\n")
    with pytest.raises(FileRefused) as refused, opened(path, order_rows.LAYOUT):
        pass
    assert says in str(refused.value)


def test_header_names_are_read_generously(path: Path) -> None:
    path.write_text(" Order No. ,会员编号，,ＭＯＢＩＬＥ,付款时间,实付金额\n".replace("，", ""))
    with opened(path, order_rows.LAYOUT) as file:
        assert [name for name, _ in file.header.positions] == ["order_no", "external_id", "mobile", "paid_at", "amount"]
