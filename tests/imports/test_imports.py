"""Files over HTTP: uploaded, put in by the worker, followed, refused by the row, and the same at every repetition."""

import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.access.shops import Shop
from tests.conftest import Api, MakeApi, Rows

Work = Callable[[], Awaitable[None]]


async def sent(api: Api, content: bytes | str, headers: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:
    """Upload a file. Returns the import as it was accepted."""
    answer = await api.http.post("/v1/imports", content=content, params=params, headers=headers)
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def imported(api: Api, work: Work, content: bytes | str, **params: Any) -> dict[str, Any]:
    """Upload a file and let the worker put it in. Returns the import as it ended."""
    accepted = await sent(api, content, **params)
    await work()
    ended: dict[str, Any] = (await api.get(f"/v1/imports/{accepted['id']}")).json()
    return ended


async def errors(api: Api, ended: dict[str, Any], limit: int = 200) -> list[dict[str, Any]]:
    """Why rows were left out, over all pages."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(f"/v1/imports/{ended['id']}/errors", params=params)).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return found


def counts(ended: dict[str, Any]) -> tuple[int, ...]:
    return tuple(ended[name] for name in ("created", "updated", "unchanged", "refused"))


def people(count: int) -> str:
    lines = ["手机号,姓名,会员编号,喜好", *(f"154{number:08},客户{number},M{number}," for number in range(count))]
    return "\n".join(lines) + "\n"


async def test_a_file_goes_in_once_and_changes_nothing_the_second_time(
    api: Api, work: Work, shop: Shop, rows: Rows
) -> None:
    accepted = await sent(api, people(2500), kind="customers", source="crm")
    assert (accepted["state"], accepted["rows"], accepted["bytes"]) == ("queued", 0, len(people(2500).encode()))
    await work()
    first = (await api.get(f"/v1/imports/{accepted['id']}")).json()
    assert (first["state"], first["rows"], counts(first)) == ("done", 2500, (2500, 0, 0, 0))
    assert first["unknown_columns"] == ["喜好"]
    assert first["rows_per_second"] > 0
    assert first["seconds_left"] is None
    again = await imported(api, work, people(2500), kind="customers", source="crm")
    assert counts(again) == (0, 0, 2500, 0)
    assert await rows("select count(*) as n from customers where shop_id = $1", shop.id) == [{"n": 2500}]
    assert await rows("select 1 from import_chunks where shop_id = $1", shop.id) == []
    listed = (await api.get("/v1/imports", params={"limit": 1})).json()
    assert [item["id"] for item in listed["items"]] == [again["id"]]
    older = (await api.get("/v1/imports", params={"limit": 1, "cursor": listed["next_cursor"]})).json()
    assert [item["id"] for item in older["items"]] == [first["id"]]


async def test_bad_rows_are_told_without_their_values(api: Api, work: Work) -> None:
    content = (
        "mobile,name,gender,store_id\n15400000001,A,2,1\n=cmd(),B,2,1\n15400000003,C,9x,1\n"
        "15400000004,D*,1,7\n15400000001,E,1,1\n"
    )
    ended = await imported(api, work, content, kind="customers")
    assert counts(ended) == (1, 0, 0, 4)
    found = await errors(api, ended, limit=3)
    assert [(error["line"], error["field"], error["code"]) for error in found] == [
        (3, "mobile", "invalid"),
        (4, "gender", "invalid"),
        (5, "name", "invalid"),
        (6, "mobile", "duplicate"),
    ]
    assert all(error["remedy"] for error in found)
    told = str(found)
    assert not [value for value in ("cmd", "9x", "D*", "15400000001") if value in told]


async def test_orders_of_lines_anywhere_and_their_refunds(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    content = (
        "order_no,external_id,paid_at,sku,quantity,unit_price,refund_no,refund_amount,refunded_at\n"
        "1,C1,2010-12-01 08:27,S1,3,0.335,,,\n"
        "1,,,,,,R1,0.5,2010-12-02 08:00\n"
        "2,C2,2010-12-01 09:00,S1,1,5,,,\n"
        "1,C1,2010-12-01 08:26,S2,1,10,,,\n"
        "3,C3,2010-12-01 09:00,S1,-1,5,,,\n"
        "3,C3,2010-12-01 09:00,S1,1,5,,,\n"
    )
    ended = await imported(api, work, content, kind="orders", source="uci")
    assert (ended["rows"], counts(ended)) == (6, (3, 0, 0, 1))
    found = await rows("select order_no, amount_fen from orders where shop_id = $1 order by 1", shop.id)
    assert [tuple(row.values()) for row in found] == [("1", 1101), ("2", 500)]
    found = await rows("select refund_no, order_no, amount_fen from refunds where shop_id = $1", shop.id)
    assert [tuple(row.values()) for row in found] == [("R1", "1", 50)]
    (error,) = await errors(api, ended)
    assert (error["line"], error["field"]) == (6, "quantity")
    assert "other lines" in error["reason"]
    assert counts(await imported(api, work, content, kind="orders", source="uci")) == (0, 0, 3, 1)


@pytest.mark.parametrize(
    ("discount", "category"), [("优惠金额", "商品类目"), ("折扣金额", "类目"), ("Discount Fee", "product_category")]
)
async def test_what_was_taken_off_and_what_kind_it_was(
    api: Api, work: Work, shop: Shop, rows: Rows, discount: str, category: str
) -> None:
    content = (
        f"订单号,手机号,付款时间,实付金额,{discount},商品编码,{category},数量,单价\n"
        "1,13100000001,2026-01-05 10:00,80,20.5,S1, 洁面 ,1,60\n"
        "1,13100000001,2026-01-05 10:00,80,20.50,S2,,1,40.5\n"
        "2,13100000001,2026-01-05 11:00,50,,S1,洁面,1,50\n"
        f"3,13100000001,2026-01-05 12:00,50,,S1,{'长' * 65},1,50\n"
        "4,13100000001,2026-01-05 13:00,50,九千万亿,S1,,1,50\n"
        "5,13100000001,2026-01-05 14:00,50,10000000001,S1,,1,50\n"
    )
    ended = await imported(api, work, content, kind="orders")
    assert counts(ended) == (2, 0, 0, 3)
    assert [(e["line"], e["field"]) for e in await errors(api, ended)] == [
        (5, "category"),
        (6, "discount"),
        (7, "discount"),
    ]
    found = await rows(
        """
        select o.order_no, o.amount_fen, o.discount_fen, array_agg(i.category order by i.line_no) as categories
        from orders o join order_items i using (shop_id, order_no)
        where o.shop_id = $1 group by 1, 2, 3 order by 1
        """,
        shop.id,
    )
    assert [tuple(row.values()) for row in found] == [("1", 8000, 2050, ["洁面", None]), ("2", 5000, 0, ["洁面"])]
    assert counts(await imported(api, work, content, kind="orders")) == (0, 0, 2, 3)


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("overwrite", ("新", "13100000001", 2)), ("fill", ("旧", "13100000001", 2)), ("skip", ("旧", None, 0))],
)
async def test_what_becomes_of_who_is_there(api: Api, work: Work, policy: str, kept: tuple[Any, ...]) -> None:
    there = {"identities": [{"kind": "card_no", "value": "K1"}], "name": "旧"}
    customer_id = (await api.post("/v1/customers", there)).json()["id"]
    content = "card_no,mobile,name,gender\nK1,13100000001,新,2\nK2,,甲,1\n"
    ended = await imported(api, work, content, kind="customers", policy=policy)
    assert counts(ended) == ((1, 0, 1, 0) if policy == "skip" else (1, 1, 0, 0))
    found = (await api.get(f"/v1/customers/{customer_id}")).json()
    mobile = kept[1] and f"+86{kept[1]}"
    assert (found["name"], found["mobile"], found["gender"]) == (kept[0], mobile, kept[2])


async def test_filling_keeps_the_mobile_that_is_shown(api: Api, work: Work) -> None:
    there = {"identities": [{"kind": "card_no", "value": "K1"}, {"kind": "mobile", "value": "13100000001"}]}
    customer_id = (await api.post("/v1/customers", there)).json()["id"]
    ended = await imported(api, work, "card_no,mobile\nK1,13100000002\n", kind="customers", policy="fill")
    assert counts(ended) == (0, 1, 0, 0)
    found = (await api.get(f"/v1/customers/{customer_id}")).json()
    assert found["mobile"] == "+8613100000001"
    assert len(found["identities"]) == 3


async def test_a_dry_run_counts_and_writes_nothing(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    await api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": "15400000000"}], "name": "客户0"})
    before = await rows("select count(*) as n from domain_events where shop_id = $1", shop.id)
    await sent(api, people(1500), kind="customers", dry_run=True)
    await work()
    (ended,) = (await api.get("/v1/imports")).json()["items"]
    assert (ended["state"], ended["dry_run"], counts(ended)) == ("done", True, (1499, 1, 0, 0))
    assert await rows("select count(*) as n from customers where shop_id = $1", shop.id) == [{"n": 1}]
    assert before


async def test_packed_files_and_any_encoding(api: Api, work: Work) -> None:
    packed = gzip.compress(people(10).encode("gb18030")) + gzip.compress("15499999999,尾,Z,\n".encode("gb18030"))
    accepted = await sent(api, packed, {"Content-Encoding": "gzip"}, kind="customers")
    await work()
    ended = (await api.get(f"/v1/imports/{accepted['id']}")).json()
    assert counts(ended) == (11, 0, 0, 0)
    for damaged in (packed[:-20], b"plain"):
        answer = await api.http.post(
            "/v1/imports", content=damaged, params={"kind": "customers"}, headers={"Content-Encoding": "gzip"}
        )
        assert (answer.status_code, answer.json()["field"]) == (422, "Content-Encoding")


async def test_objects_one_a_line(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    content = (
        '\ufeff{"identities":[{"kind":"mobile","value":"13100000001"}],"name":"甲"}\n\n'
        '{"identities":[{"kind":"mobile","value":"131"}]}\n[1]\nnothing\n{"name":1}\n'
    )
    ended = await imported(api, work, content, kind="customers", format="ndjson")
    assert (ended["rows"], counts(ended)) == (5, (1, 0, 0, 4))
    assert [(e["line"], e["field"]) for e in await errors(api, ended)] == [
        (3, "mobile"), (4, ""), (5, ""), (6, "name"),
    ]  # fmt: skip
    content = (
        '{"order_no":"1","identities":[{"kind":"mobile","value":"13100000001"}],"paid_at":"2026-01-01T10:00:00",'
        '"amount_fen":100}\n'
        '{"refund_no":"R1","order_no":"1","amount_fen":40,"refunded_at":"2026-01-02T10:00:00"}\n'
    )
    assert counts(await imported(api, work, content, kind="orders", format="ndjson")) == (2, 0, 0, 0)
    assert await rows("select order_no from refunds where shop_id = $1", shop.id) == [{"order_no": "1"}]


async def test_the_same_key_is_one_import(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    key = {"Idempotency-Key": "once"}
    first = await sent(api, people(3), key, kind="customers")
    assert (await sent(api, people(3), key, kind="customers"))["id"] == first["id"]
    other = await api.http.post("/v1/imports", content=people(4), params={"kind": "customers"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    states = await rows("select state from imports where shop_id = $1 order by id", shop.id)
    assert [row["state"] for row in states] == ["accepted"]
    chunks = await rows("select distinct import_id from import_chunks where shop_id = $1", shop.id)
    assert [str(row["import_id"]) for row in chunks] == [first["id"]]


async def test_a_file_that_is_something_else(api: Api, work: Work) -> None:
    ended = await imported(api, work, "颜色,尺寸\n红,大\n", kind="customers")
    assert ended["state"] == "refused"
    assert "who the customer is" in ended["reason"]
    assert "红" not in ended["reason"]
    answer = await api.http.post("/v1/imports", content=b"", params={"kind": "customers"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "The file is empty")


async def test_what_is_kept_of_a_file_cannot_be_read(api: Api, shop: Shop, rows: Rows) -> None:
    await sent(api, people(5), kind="customers")
    (chunk,) = await rows("select content from import_chunks where shop_id = $1", shop.id)
    assert "客户".encode() not in chunk["content"]


async def test_a_cancelled_import_is_not_carried_out(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    accepted = await sent(api, people(5), kind="customers")
    ended = (await api.http.delete(f"/v1/imports/{accepted['id']}")).json()
    assert ended["state"] == "cancelled"
    await work()
    assert await rows("select 1 from customers where shop_id = $1", shop.id) == []
    assert await rows("select 1 from import_chunks where shop_id = $1", shop.id) == []
    assert (await api.http.delete(f"/v1/imports/{accepted['id']}")).json()["state"] == "cancelled"


async def test_who_may_import_what(make_api: MakeApi, shop: Shop) -> None:
    caller = await make_api(shop, "imports customers:write")
    for kind, status in (("customers", 202), ("orders", 403), ("events", 403)):
        answer = await caller.http.post("/v1/imports", content=people(1), params={"kind": kind})
        assert answer.status_code == status, answer.text
    wrong = await caller.http.post("/v1/imports", content="a", params={"kind": "tags", "policy": "fill"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "policy")
    stranger = await caller.http.post("/v1/imports", content="a", params={"kind": "?"}, headers={"Authorization": ""})
    assert stranger.status_code == 401
