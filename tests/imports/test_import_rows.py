"""Rows become customers and orders: cells, identities, amounts, and the refusals that say what is wrong."""

from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imports.customer_rows import read_customers, to_customer
from app.imports.order_rows import read_orders, to_order
from app.imports.rows import (
    Outgoing,
    Payload,
    Row,
    RowError,
    RowRefused,
    calendar_day,
    moment,
    money,
    rfc3339,
    to_fen,
    whole,
)
from app.orders.schemas import OrderWrite
from tests.imports.files import SHANGHAI, asked

BUYER = {"order_no": "A1", "external_id": "17850", "paid_at": "2024-06-18 20:30"}


def customer(**cells: str) -> Payload:
    return to_customer(Row(2, cells), source="crm", zone=SHANGHAI)


def order(*lines: dict[str, str]) -> Payload:
    return to_order(
        [Row(line, {**BUYER, **cells}) for line, cells in enumerate(lines, start=2)], source="pos", zone=SHANGHAI
    )


def orders(rows: Iterable[Row]) -> list[Outgoing | RowError]:
    with asked("pos") as how:
        return [unit for unit in read_orders(rows, how) if unit is not None]


def told(unit: Outgoing | RowError) -> OrderWrite:
    assert isinstance(unit, Outgoing)
    assert isinstance(unit.payload, OrderWrite)
    return unit.payload


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-06-18 20:30", "2024-06-18T12:30:00Z"),
        ("2024/6/8 9:05:07", "2024-06-08T01:05:07Z"),
        ("2024年6月8日 9时5分7秒", "2024-06-08T01:05:07Z"),
        ("2024-06-18T20:30:00.25+02:00", "2024-06-18T18:30:00.250000Z"),
        ("2024-06-18T20:30:00Z", "2024-06-18T20:30:00Z"),
        ("2024-06-18", "2024-06-17T16:00:00Z"),
    ],
)
def test_times(text: str, instant: str) -> None:
    assert rfc3339(moment(text, SHANGHAI)) == instant


@pytest.mark.parametrize(
    "text", ["", "45461.85", "18/06/2024", "2024-13-01", "2024-02-30 10:00", "1718713800", "0001-01-01"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        moment(text, SHANGHAI)


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("128.5", 12850),
        ("¥1,234.50", 123450),
        ("￥８元", 800),
        ("0.005", 1),
        ("0.0049999", 0),
        ("2.675", 268),
        ("0", 0),
    ],
)
def test_money_is_exact_and_half_up(text: str, fen: int) -> None:
    assert to_fen(money(text)) == fen


@pytest.mark.parametrize("text", ["abc", "1e3", "NaN", "Infinity", "1.234,50", "-3", "1,23", "9" * 16, "--1"])
def test_no_money(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount|is below zero"):
        money(text)


@given(st.lists(st.tuples(st.integers(1, 10**9 - 1), st.decimals(0, 10**12, places=8)), min_size=1, max_size=30))
def test_an_orders_amount_is_the_exact_sum_rounded_once(lines: list[tuple[int, Decimal]]) -> None:
    built = order(*({"quantity": str(quantity), "unit_price": f"{price:f}"} for quantity, price in lines))
    in_parts = sum(quantity * int(price.scaleb(8)) for quantity, price in lines)  # of 10^-8 yuan, as integers
    assert built["amount_fen"] == (in_parts + 500_000) // 1_000_000


def test_whole_numbers_and_days() -> None:
    assert [whole(text) for text in ("12", "1,200", "12.0", "１２")] == [12, 1200, 12, 12]
    assert [calendar_day(text) for text in ("1990/1/2", "19900102", "1990年1月2日")] == ["1990-01-02"] * 3
    for text in ("1.5", "-1", "x"):
        with pytest.raises(ValueError, match="whole number"):
            whole(text)
    with pytest.raises(ValueError, match="exists"):
        calendar_day("1990-02-30")


def test_a_full_customer() -> None:
    built = customer(
        external_id="M1",
        mobile="+86 154-0000 0001",
        email="a@example.com",
        wechat_openid="o1",
        wechat_appid="wx1",
        gender="女",
        birthday="1990/1/2",
        store_id="12.0",
        member_since="2024-01-01 00:00",
        name="陈雨",
    )
    assert built == {
        "identities": [
            {"kind": "external_id", "value": "M1", "scope": "crm"},
            {"kind": "mobile", "value": "15400000001"},
            {"kind": "email", "value": "a@example.com"},
            {"kind": "wechat_openid", "value": "o1", "scope": "wx1"},
        ],
        "name": "陈雨",
        "gender": 2,
        "birthday": "1990-01-02",
        "store_id": 12,
        "member_since": "2023-12-31T16:00:00Z",
    }


@pytest.mark.parametrize(
    ("cells", "field", "says"),
    [
        ({"name": "陈雨"}, "", "no cell of this row says who"),
        ({"mobile": "1.54E+10"}, "mobile", "last digits are lost"),
        ({"mobile": "none"}, "mobile", "not a mobile number"),
        ({"email": "nobody"}, "email", "not an e-mail"),
        ({"mobile": "15400000001", "gender": "3"}, "gender", "not one of"),
        ({"mobile": "15400000001", "store_id": "静安店"}, "store_id", "not a whole number"),
        ({"mobile": "15400000001", "birthday": "31/12/1990"}, "birthday", "not a date"),
    ],
)
def test_customers_that_are_refused(cells: dict[str, str], field: str, says: str) -> None:
    with pytest.raises(RowRefused) as refused:
        customer(**cells)
    assert (refused.value.error.line, refused.value.error.field) == (2, field)
    assert says in refused.value.error.reason


def test_a_person_counts_once_per_file() -> None:
    rows = [
        Row(2, {"mobile": "15400000001", "name": "A"}),
        Row(3, {"mobile": "+86 15400000001", "name": "B"}),
        Row(4, {"email": "A@example.com"}),
        Row(5, {"external_id": "9", "email": "a@example.com"}),
        Row(6, {"external_id": "15400000001"}),
    ]
    with asked("crm") as how:
        read = list(read_customers(rows, how))
    assert [type(record) for record in read] == [Outgoing, RowError, Outgoing, RowError, Outgoing]
    assert read[1] == RowError(3, "mobile", "line 2 of this file already has this mobile", "duplicate")
    assert read[3] == RowError(5, "email", "line 4 of this file already has this email", "duplicate")


def test_one_line_is_one_order() -> None:
    assert order({"amount": "99.9", "store_id": "12", "channel": "pos", "status": "交易完成", "version": "3"}) == {
        "order_no": "A1",
        "identities": [{"kind": "external_id", "value": "17850", "scope": "pos"}],
        "store_id": 12,
        "channel": "pos",
        "status": "completed",
        "paid_at": "2024-06-18T12:30:00Z",
        "amount_fen": 9990,
        "currency": "CNY",
        "items": [],
        "version": 3,
    }


def test_lines_become_one_order_with_the_earliest_time() -> None:
    built = order(
        {"sku": "S1", "name": "霜", "quantity": "3", "unit_price": "0.335", "paid_at": "2024-06-18 20:31"},
        {"sku": "S2", "quantity": "1", "unit_price": "10", "updated_at": "2024-06-20 00:00", "channel": "pos"},
        {"sku": "S2", "quantity": "1", "unit_price": "10", "updated_at": "2024-06-19 00:00"},
    )
    assert built["paid_at"] == "2024-06-18T12:30:00Z"
    assert built["updated_at"] == "2024-06-19T16:00:00Z"
    assert built["amount_fen"] == 2101  # 1.005 + 10 + 10
    assert built["channel"] == "pos"
    assert built["items"] == [
        {"sku": "S1", "name": "霜", "quantity": 3, "price_fen": 34},
        {"sku": "S2", "quantity": 1, "price_fen": 1000},
        {"sku": "S2", "quantity": 1, "price_fen": 1000},
    ]


def test_a_version_counts_before_a_time_of_change() -> None:
    lines = [{"amount": "1", "version": version, "updated_at": "2024-06-20 00:00"} for version in ("9", "10", "2")]
    built = order(*lines)
    assert built["version"] == 10
    assert "updated_at" not in built


def test_the_amount_is_the_orders_and_line_amounts_add_up() -> None:
    goods = {"sku": "S", "quantity": "2", "unit_price": "10"}
    assert order({**goods, "amount": "35"}, {**goods, "amount": "35.00"})["amount_fen"] == 3500
    assert order({**goods, "amount": "35"}, goods)["amount_fen"] == 3500
    split = order({**goods, "line_amount": "17.505"}, {"sku": "T", "quantity": "2", "line_amount": "17.5"})
    assert split["amount_fen"] == 3501
    assert split["items"][1]["price_fen"] == 875
    assert order({"sku": "T", "amount": "5"})["items"] == [{"sku": "T", "quantity": 1, "price_fen": 0}]


def test_the_discount_is_the_orders_and_a_category_its_items() -> None:
    goods = {"sku": "S", "quantity": "2", "unit_price": "10", "amount": "15"}
    built = order({**goods, "discount": "¥5.005", "category": "洁面"}, {"sku": "T", "discount": "5.005"}, goods)
    assert (built["amount_fen"], built["discount_fen"]) == (1500, 501)
    assert [item.get("category") for item in built["items"]] == ["洁面", None, None]
    assert "discount_fen" not in order(goods)
    alone = order({"amount": "1", "category": "防晒", "quantity": "3"})
    assert alone["items"] == [{"category": "防晒", "quantity": 3, "price_fen": 0}]


@pytest.mark.parametrize(
    ("lines", "line", "field", "says"),
    [
        (
            [{"amount": "5"}, {"amount": "6"}],
            3,
            "amount",
            "differs from line 2 of the same order: amount is the order's",
        ),
        ([{"amount": "5", "discount": "1"}, {"discount": "2"}], 3, "discount", "discount is the order's total"),
        ([{"amount": "5", "discount": "-1"}], 2, "discount", "below zero"),
        ([{"amount": "5", "discount": "8折"}], 2, "discount", "not an amount"),
        ([{"amount": "5", "mobile": "15400000001"}, {"mobile": "15400000002"}], 3, "mobile", "differs from line 2"),
        ([{"amount": "5"}, {"external_id": "2"}], 3, "external_id", "differs from line 2"),
        ([{"line_amount": "5"}, {"sku": "S"}], 3, "line_amount", "this one has none"),
        ([{"quantity": "1", "unit_price": "1"}, {"quantity": "1"}], 3, "amount", "no amount, no line amount"),
        ([{"quantity": "-1", "unit_price": "1"}], 2, "quantity", "not a whole number"),
        ([{"quantity": "0", "unit_price": "1"}], 2, "quantity", "zero"),
        ([{"amount": "-5"}], 2, "amount", "below zero"),
        ([{"amount": "5", "paid_at": "noon"}], 2, "paid_at", "not a time"),
        ([{"amount": "5", "status": "lost"}], 2, "status", "not one of"),
        ([{"amount": "5", "order_no": "x" * 65}], 2, "order_no", "longer than 64"),
    ],
)
def test_orders_that_are_refused(lines: list[dict[str, str]], line: int, field: str, says: str) -> None:
    with pytest.raises(RowRefused) as refused:
        order(*lines)
    assert (refused.value.error.line, refused.value.error.field) == (line, field)
    assert says in refused.value.error.reason


def test_an_unpaid_order_needs_no_time() -> None:
    unpaid = {"order_no": "A", "mobile": "15400000001", "amount": "1", "status": "待付款"}
    for cells in (unpaid, {**unpaid, "paid_at": "2024-06-18"}):
        built = to_order([Row(2, cells)], source="pos", zone=SHANGHAI)
        assert built["status"] == "created"
        assert "paid_at" not in built
    with pytest.raises(RowRefused, match="time of payment is missing"):
        to_order([Row(2, {**unpaid, "status": "paid"})], source="pos", zone=SHANGHAI)


def test_lines_of_an_order_are_gathered_from_the_whole_file() -> None:
    def line(number: int, order_no: str) -> Row:
        return Row(number, {**BUYER, "order_no": order_no, "sku": f"S{number}", "quantity": "1", "unit_price": "1"})

    read = orders(line(number, "BAC"[number % 3]) for number in range(3, 3003))
    assert [told(record).order_no for record in read] == ["B", "A", "C"]
    assert [record.line for record in read] == [3, 4, 5]
    for record in read:
        assert told(record).amount_fen == 100_000
        assert [item.sku for item in told(record).items[:2]] == [f"S{record.line}", f"S{record.line + 3}"]


def test_one_bad_line_leaves_its_whole_order_out() -> None:
    priced = {**BUYER, "quantity": "1", "unit_price": "1"}
    read = orders(
        [
            Row(2, priced),
            Row(3, {**priced, "order_no": "B"}),
            Row(4, {**priced, "unit_price": "?"}),
            Row(5, {**priced, "order_no": "C"}, "the line is not UTF-8 text"),
            Row(6, {"mobile": "15400000001"}),
            Row(7, {}, "the line is longer than 1 byte"),
        ]
    )
    assert [record.line for record in read if isinstance(record, Outgoing)] == [3]
    assert [record for record in read if isinstance(record, RowError)] == [
        RowError(6, "order_no", "the order number is missing"),
        RowError(7, "", "the line is longer than 1 byte"),
        RowError(4, "unit_price", "this is not an amount (the other lines of this order are left out too)"),
        RowError(5, "", "the line is not UTF-8 text"),
    ]


def test_an_order_has_at_most_two_thousand_lines() -> None:
    read = orders(Row(line, {**BUYER, "quantity": "1", "unit_price": "1"}) for line in range(2, 2004))
    assert len(read) == 1
    assert isinstance(read[0], RowError)
    assert "more than 2,000 lines" in read[0].reason
