"""What a message does to the rows, and what becomes of one that cannot be applied."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import Connection, statement
from app.core.errors import DatabaseUnavailable
from app.customers import service as customers
from app.push import jobs
from app.push.jobs import apply_due
from tests.conftest import Api, Rows
from tests.push.sender import Sender, customer, md5, refund, trade

Work = Callable[[], Awaitable[None]]
Kept = Callable[[], Awaitable[list[dict[str, Any]]]]
EVENT = ("SCRM_CUSTOMER_EVENT", "8801")
NOW = 1_893_456_000_000


async def look_up(api: Api, kind: str, value: str, scope: str = "") -> dict[str, Any] | None:
    """The customer with an identity, or None."""
    answer = await api.post("/v1/customers/lookup", {"identity": {"kind": kind, "value": value, "scope": scope}})
    return answer.json() if answer.status_code == 200 else None


async def due_now(rows: Rows, shop: Shop) -> None:
    """Time passes."""
    await rows("update push_messages set due_at = now() where shop_id = $1 and state = 'pending' returning 1", shop.id)


@pytest.mark.parametrize("plus", [False, True])
async def test_a_customer_is_created_and_updated(
    sender: Sender, api: Api, work: Work, rows: Rows, shop: Shop, plus: bool
) -> None:
    await sender.push(*EVENT, customer(), status="CUSTOMER_CREATED", version=NOW, plus=plus)
    await work()
    found = await look_up(api, "external_id", "8801", "youzan")
    assert found is not None
    assert (found["name"], found["gender"], found["birthday"], found["mobile"]) == (
        "王 A+B",
        2,
        "1990-05-06",
        "+8613800000001",
    )
    changed = customer(name="王B", birthday="", gender=0, mobile="13800000002")
    await sender.push(*EVENT, changed, status="CUSTOMER_UPDATED", version=NOW + 1, plus=plus)
    await work()
    after = await look_up(api, "mobile", "13800000002")
    assert after is not None
    assert after["id"] == found["id"]
    # an empty text and an unknown gender say nothing
    assert (after["name"], after["gender"], after["birthday"], after["mobile"]) == (
        "王B",
        2,
        "1990-05-06",
        "+8613800000002",
    )
    visits = await rows("select * from access_log where shop_id = $1 and call = 'push.apply'", shop.id)
    assert [visit["customers"] for visit in visits] == [[found["id"]]] * 2


@pytest.mark.parametrize(
    ("status", "said", "note"),
    [
        ("CUSTOMER_UPDATED", {"is_log_off": True}, "log_off"),
        ("CUSTOMER_UPDATED", {"client_hash": md5("youzan-app-1")}, "loop"),
        ("CUSTOMER_UPDATED", {"external_request_id": "kehu:6b0c"}, "loop"),
        ("CUSTOMER_MERGED", {}, "unknown_status"),
    ],
)
async def test_what_asks_for_nothing_is_ignored_and_kept(
    sender: Sender, kept: Kept, work: Work, rows: Rows, shop: Shop, status: str, said: dict[str, Any], note: str
) -> None:
    await sender.push(*EVENT, customer(**said), status=status)
    await work()
    (row,) = await kept()
    assert (row["state"], row["note"], row["error"]) == ("ignored", note, None)
    assert await rows("select 1 from customers where shop_id = $1", shop.id) == []


async def test_a_change_by_another_app_is_no_loop(sender: Sender, kept: Kept, work: Work) -> None:
    said = customer(client_hash=md5("another"), external_request_id="erp-1")
    await sender.push(*EVENT, said, status="CUSTOMER_UPDATED")
    await work()
    assert [row["state"] for row in await kept()] == ["applied"]


async def test_unknown_types_are_kept_and_can_be_replayed(sender: Sender, api: Api, kept: Kept, work: Work) -> None:
    await sender.push("POINTS", "8801", {"mobile": "13800000001", "amount": 5})
    await sender.push("trade_refund_BuyerCreated", "R-1", refund("E1"))
    await work()
    assert [(row["state"], row["note"]) for row in await kept()] == [
        ("ignored", "unknown_type"),
        ("ignored", "refund_state"),
    ]
    (points, _) = await kept()
    assert (await api.post(f"/v1/push-messages/{points['id']}/replay")).status_code == 202
    assert [row["state"] for row in await kept()] == ["pending", "ignored"]
    await work()
    assert [row["state"] for row in await kept()] == ["ignored", "ignored"]


async def test_a_card_and_an_authorised_mobile_find_their_customer(sender: Sender, api: Api, work: Work) -> None:
    card = {"card_no": "C-77", "card_alias": "x", "mobile": "13800000001", "fans_id": 99, "fans_type": 1}
    await sender.push("SCRM_CUSTOMER_CARD", "C-77", card, status="CUSTOMER_CARD_GIVEN")
    told = {"mobile": "13800000001", "yz_open_id": "AbC-1"}
    await sender.push("OPEN_PUSH_SCRM_CUSTOMER_AUTH_MOBILE", "", None, **told)
    await work()
    found = [
        await look_up(api, *identity)
        for identity in (
            ("card_no", "C-77"),
            ("fans_id", "99"),
            ("mobile", "13800000001"),
            ("external_id", "AbC-1", "youzan_open_id"),
        )
    ]
    assert all(found)
    assert len({one["id"] for one in found if one}) == 1
    assert found[0] is not None
    assert found[0]["mobile_verified"] is True


async def test_cards_that_were_taken_back_or_name_nobody_are_ignored(sender: Sender, kept: Kept, work: Work) -> None:
    card = {"card_no": "C-77", "mobile": "13800000001"}
    await sender.push("SCRM_CUSTOMER_CARD", "C-77", card, status="CUSTOMER_CARD_DELETED")
    await sender.push("SCRM_CUSTOMER_CARD", "C-78", {"card_no": "C-78"}, status="CUSTOMER_CARD_TAKEN")
    await work()
    assert [(row["state"], row["note"]) for row in await kept()] == [
        ("ignored", "card_status"),
        ("ignored", "no_holder"),
    ]


async def test_a_paid_trade_is_an_order(sender: Sender, api: Api, work: Work, rows: Rows, shop: Shop) -> None:
    await sender.push("trade_TradePaid", "E1", trade("E1"), version=NOW)
    await work()
    (order,) = await rows("select * from orders where shop_id = $1", shop.id)
    assert (order["status"], order["amount_fen"], order["channel"], order["currency"]) == (
        "paid",
        19990,
        "youzan",
        "CNY",
    )
    assert order["paid_at"] == datetime(2026, 11, 20, 2, 0, tzinfo=UTC), "China time"
    items = await rows("select * from order_items where shop_id = $1 order by line_no", shop.id)
    assert [(item["sku"], item["name"], item["quantity"], item["price_fen"]) for item in items] == [
        ("77", "口红 05", 2, 9995),
        ("S-2", "小样", 1, 0),
    ]
    for identity in (("external_id", "8801", "youzan"), ("external_id", "AbC-1", "youzan_open_id")):
        found = await look_up(api, *identity)
        assert found is not None
        assert found["id"] == order["customer_id"]


@pytest.mark.parametrize(
    ("payment", "changes", "discount"),
    [
        ("199.90", {}, 0),
        ("149.90", {}, 5000),
        ("149.90", {"post_fee": "10.00", "payment": "159.90"}, 5000),
        ("149.90", {"post_fee": None}, 5000),
        ("149.90", {"payment": "150.90"}, 0),  # something else is in the amount
        ("149.90", {"post_fee": "free"}, 0),
        ("210.00", {}, 0),  # they paid more than the prices
        ("", {"payment": "149.90"}, 0),
        ("some", {"payment": "149.90"}, 0),
    ],
)
async def test_what_was_taken_off_is_told_where_it_is_certain(
    sender: Sender, work: Work, rows: Rows, shop: Shop, payment: str, changes: dict[str, Any], discount: int
) -> None:
    told = trade("E1", payment=payment)
    told["full_order_info"]["pay_info"] |= changes
    await sender.push("trade_TradePaid", "E1", told)
    await work()
    assert await rows("select discount_fen from orders where shop_id = $1", shop.id) == [{"discount_fen": discount}]


async def test_no_discount_is_beyond_what_an_order_holds(sender: Sender, work: Work, rows: Rows, shop: Shop) -> None:
    told = trade("E1", payment="1.00")
    told["full_order_info"]["orders"][0] |= {"num": 1000000, "price": "1000000.00"}
    await sender.push("trade_TradePaid", "E1", told)
    await work()
    assert await rows("select amount_fen, discount_fen from orders where shop_id = $1", shop.id) == [
        {"amount_fen": 100, "discount_fen": 0}
    ]


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [
        ("0.01", 1),
        ("19.99", 1999),
        ("1.1", 110),
        ("10", 1000),
        (10, 1000),
        (0.29, 29),
        (1.15, 115),
        ("99999999.99", 9999999999),
    ],
)
async def test_yuan_become_fen_exactly(sender: Sender, work: Work, rows: Rows, shop: Shop, yuan: Any, fen: int) -> None:
    await sender.push("trade_TradePaid", "E1", trade("E1", payment=yuan))
    await work()
    assert [row["amount_fen"] for row in await rows("select amount_fen from orders where shop_id = $1", shop.id)] == [
        fen
    ]


@pytest.mark.parametrize("yuan", ["1.005", "-1", "NaN", "1e99", "1e999999", "1.0" + "0" * 40 + "1", "one", ""])
async def test_what_is_no_amount_fails_visibly(
    sender: Sender, kept: Kept, work: Work, rows: Rows, shop: Shop, yuan: str
) -> None:
    told = trade("E1", payment=yuan)
    told["full_order_info"]["orders"] = []
    await sender.push("trade_TradePaid", "E1", told)
    await work()
    (row,) = await kept()
    assert row["error"] == ("order_not_known" if yuan == "" else "invalid: amount_fen")
    assert await rows("select 1 from orders where shop_id = $1", shop.id) == []


async def test_an_order_goes_its_way(sender: Sender, work: Work, rows: Rows, shop: Shop, kept: Kept) -> None:
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("trade_TradeCreate", trade("E1", pay_time=None), "created"),
        ("trade_TradePaid", trade("E1"), "paid"),
        ("trade_TradePartlySellerShip", {"tid": "E1"}, "paid"),
        ("trade_TradeSellerShip", {"tid": "E1"}, "shipped"),
        ("TRADE_ORDER_STATE", {"tid": "E1", "status": "TRADE_BUYER_SIGNED", "payment": 199.9}, "completed"),
        ("trade_TradeSuccess", {"tid": "E1"}, "completed"),
        ("trade_TradeClose", {"tid": "E1", "close_type": 5, "close_reason": "x"}, "closed"),
    ]
    for turn, (type_, msg, status) in enumerate(steps):
        await sender.push(type_, "E1", msg, version=NOW + turn)
        await work()
        (order,) = await rows("select * from orders where shop_id = $1", shop.id)
        assert (order["status"], order["amount_fen"]) == (status, 19990)
    assert {row["state"] for row in await kept()} == {"applied"}
    # an old one, told again under another id, changes nothing
    await sender.push("trade_TradeSellerShip", "E1", {"tid": "E1"}, version=NOW)
    await work()
    (again,) = await rows("select * from orders where shop_id = $1", shop.id)
    assert again["status"] == "closed"
    assert [row["note"] for row in await kept()][-1] == "stale"


async def test_orders_that_are_told_under_one_id_are_all_kept(
    sender: Sender, work: Work, rows: Rows, shop: Shop, kept: Kept
) -> None:
    for number in ("E1", "E2", "E3"):
        await sender.push("trade_TradePaid", "", trade(number), yz_open_id="AbC-1")
    await work()
    orders = await rows("select order_no from orders where shop_id = $1 order by order_no", shop.id)
    assert [order["order_no"] for order in orders] == ["E1", "E2", "E3"]
    assert {row["state"] for row in await kept()} == {"applied"}


async def test_an_order_that_is_not_known_is_waited_for(
    sender: Sender, api: Api, work: Work, rows: Rows, shop: Shop, kept: Kept
) -> None:
    await sender.push("trade_TradeSuccess", "E1", {"tid": "E1"}, version=NOW + 5)
    await work()
    (row,) = await kept()
    assert (row["state"], row["error"], row["failures"]) == ("pending", "order_not_known", 1)
    assert row["due_at"] > datetime.now(UTC)
    waiting = (await api.get("/v1/push-messages?state=pending")).json()["items"]
    assert [item["error"] for item in waiting] == ["order_not_known"]
    await sender.push("trade_TradeCreate", "E1", trade("E1", pay_time=None), version=NOW)
    await work()
    assert [(row["state"], row["error"]) for row in await kept()] == [("pending", "order_not_known"), ("applied", None)]
    await due_now(rows, shop)
    await work()
    assert [(row["state"], row["error"]) for row in await kept()] == [("pending", "order_not_paid"), ("applied", None)]
    (order,) = await rows("select * from orders where shop_id = $1", shop.id)
    assert (order["status"], order["paid_at"]) == ("created", None)
    await sender.push("trade_TradePaid", "E1", trade("E1"), version=NOW + 1)
    await work()
    (order,) = await rows("select * from orders where shop_id = $1", shop.id)
    assert (order["status"], order["paid_at"]) == ("completed", datetime(2026, 11, 20, 2, 0, tzinfo=UTC))
    assert {row["state"] for row in await kept()} == {"applied"}, "what waited was woken"


async def test_a_message_that_waited_in_vain_has_failed_and_comes_back_with_the_order(
    sender: Sender, api: Api, work: Work, rows: Rows, shop: Shop, kept: Kept
) -> None:
    await sender.push("trade_TradeClose", "E1", {"tid": "E1"}, version=NOW)
    for _ in range(7):
        await due_now(rows, shop)
        await work()
    (row,) = await kept()
    assert (row["state"], row["error"], row["failures"]) == ("failed", "order_not_known", 7)
    await sender.push("trade_TradePaid", "E1", trade("E1"), version=NOW - 9)
    await work()
    assert {row["state"] for row in await kept()} == {"applied"}
    (order,) = await rows("select * from orders where shop_id = $1", shop.id)
    assert order["status"] == "closed"


async def test_an_order_from_elsewhere_is_moved_on(
    sender: Sender, api: Api, work: Work, rows: Rows, shop: Shop
) -> None:
    order = {"order_no": "E1", "identities": [{"kind": "card_no", "value": "C"}], "amount_fen": 5}
    await api.post("/v1/orders", order | {"paid_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
    await sender.push("trade_TradeSellerShip", "E1", {"tid": "E1"}, version=NOW)
    await work()
    (stored,) = await rows("select * from orders where shop_id = $1", shop.id)
    assert (stored["status"], stored["amount_fen"]) == ("shipped", 5)


@pytest.mark.parametrize(
    "type_", ["trade_refund_RefundSuccess", "trade_refund_SysRefund", "youzan_trade_RefundSuccess"]
)
async def test_money_that_was_given_back_is_a_refund(
    sender: Sender, work: Work, rows: Rows, shop: Shop, type_: str
) -> None:
    await sender.push(type_, "R-1", refund("E1"), version=NOW)
    await work()
    (row,) = await rows("select * from refunds where shop_id = $1", shop.id)
    assert (row["refund_no"], row["order_no"], row["amount_fen"], row["settled"]) == ("R-1", "E1", 1999, False)
    assert row["refunded_at"] == datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
    await sender.push("trade_TradePaid", "E1", trade("E1"))
    await work()
    (row,) = await rows("select * from refunds where shop_id = $1", shop.id)
    assert row["settled"] is True


async def test_a_buyer_who_is_not_named_makes_no_order(sender: Sender, work: Work, kept: Kept) -> None:
    nobody: dict[str, Any] = {"buyer_id": 0, "buyer_phone": "138****0001", "fans_id": "", "yz_open_id": None}
    await sender.push("trade_TradePaid", "E1", trade("E1", **nobody))
    await work()
    assert [(row["state"], row["note"]) for row in await kept()] == [("ignored", "anonymous_buyer")]


async def test_a_poisoned_message_stands_alone(
    sender: Sender, api: Api, work: Work, rows: Rows, shop: Shop, kept: Kept
) -> None:
    """The database refuses one of many that were claimed together; it alone is tried again, and then has failed."""
    await rows("alter table orders add constraint poison check (order_no <> 'POISON') not valid")
    try:
        for number in range(10):
            tid = "POISON" if number == 4 else f"E{number}"
            await sender.push("trade_TradePaid", tid, trade(tid), version=NOW + number)
        await sender.push(*EVENT, customer(), status="CUSTOMER_CREATED")
        await sender.push("trade_TradePaid", "E77", "%7Bnot json", version=NOW)
        await work()
        assert len(await rows("select 1 from orders where shop_id = $1", shop.id)) == 9
        states = [(row["state"], row["error"]) for row in await kept()]
        assert states.count(("applied", None)) == 10
        assert states[4] == ("pending", "CheckViolationError")
        assert states[-1] == ("failed", "unreadable")
        for _ in range(4):
            await due_now(rows, shop)
            await work()
        failed = (await api.get("/v1/push-messages", params={"state": "failed", "limit": 1})).json()
        assert failed["next_cursor"]
        rest = await api.get("/v1/push-messages", params={"state": "failed", "cursor": failed["next_cursor"]})
        items = failed["items"] + rest.json()["items"]
        assert [(item["type"], item["error"]) for item in items] == [
            ("trade_TradePaid", "unreadable"),
            ("trade_TradePaid", "CheckViolationError"),
        ]
        for personal in ("13800000001", "8801", "POISON", "王"):
            assert personal not in rest.text
    finally:
        await rows("alter table orders drop constraint poison")
    assert (await api.post(f"/v1/push-messages/{items[1]['id']}/replay")).json()["state"] == "pending"
    await work()
    assert len(await rows("select 1 from orders where shop_id = $1", shop.id)) == 10
    assert await rows("select 1 from push_messages where shop_id = $1 and state = 'pending'", shop.id) == []


async def test_two_people_in_one_message_are_kept_apart_for_a_decision(
    sender: Sender, api: Api, work: Work, kept: Kept
) -> None:
    for identity in (
        {"kind": "mobile", "value": "13800000001"},
        {"kind": "external_id", "value": "8801", "scope": "youzan"},
    ):
        assert (await api.post("/v1/customers", {"identities": [identity]})).status_code == 201
    await sender.push(*EVENT, customer(), status="CUSTOMER_UPDATED")
    await sender.push("SCRM_CUSTOMER_EVENT", "8802", customer("8802", mobile="13800000009"), status="CUSTOMER_CREATED")
    await work()
    assert [(row["state"], row["error"]) for row in await kept()] == [("applied", None), ("applied", None)]
    (conflict,) = (await api.get("/v1/merge-conflicts")).json()["items"]
    assert (conflict["reason"], conflict["identity_kind"], conflict["state"]) == ("unverified", "mobile", "open")


async def test_what_cannot_be_read_of_a_profile_is_left_out(sender: Sender, api: Api, work: Work, kept: Kept) -> None:
    said = customer(birthday="0000-00-00 00:00:00", mobile="138****0001", name="三")
    await sender.push(*EVENT, said, status="CUSTOMER_CREATED")
    await work()
    found = await look_up(api, "external_id", "8801", "youzan")
    assert found is not None
    assert (found["name"], found["mobile"], found["birthday"]) == ("三", None, None)
    assert [row["note"] for row in await kept()] == ["left out: birthday, mobile"]


async def test_an_older_word_fills_gaps_and_overwrites_nothing(
    sender: Sender, api: Api, work: Work, kept: Kept
) -> None:
    newer = {"account_id": "8801", "name": "New", "mobile": "13800000002"}
    await sender.push(*EVENT, newer, status="CUSTOMER_UPDATED", version=NOW + 1)
    await work()
    found = await look_up(api, "external_id", "8801", "youzan")
    assert found is not None
    await api.patch(f"/v1/customers/{found['id']}", {"name": "By hand"})
    await sender.push(*EVENT, customer(), status="CUSTOMER_CREATED", version=NOW)
    await work()
    after = await look_up(api, "mobile", "13800000001")
    assert after is not None
    assert (after["id"], after["name"], after["mobile"], after["gender"]) == (
        found["id"],
        "By hand",
        "+8613800000002",
        2,
    )
    assert [row["note"] for row in await kept()] == [None, "stale"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_people_who_are_told_of_under_one_id_stay_apart(
    sender: Sender, api: Api, work: Work, at_once: bool
) -> None:
    people = {"13800000001": "一", "13800000002": "二", "13800000003": "三"}
    for turn, (mobile, name) in enumerate(people.items()):
        said = customer(account="0", mobile=mobile, name=name)
        await sender.push("SCRM_CUSTOMER_EVENT", "0", said, status="CUSTOMER_UPDATED", version=NOW - turn)
        if not at_once:
            await work()
    await work()
    found = [await look_up(api, "mobile", mobile) for mobile in people]
    assert [one and one["name"] for one in found] == list(people.values())
    assert len({one["id"] for one in found if one}) == 3


async def test_an_older_mobile_is_held_and_does_not_bring_back_one_that_was_replaced(
    sender: Sender, api: Api, work: Work
) -> None:
    await sender.push(*EVENT, customer(mobile="13800000002"), status="CUSTOMER_UPDATED", version=NOW)
    await work()
    found = await look_up(api, "external_id", "8801", "youzan")
    assert found is not None
    told = {"identities": [{"kind": "mobile", "value": "13800000003"}]}
    assert (await api.patch(f"/v1/customers/{found['id']}", told)).status_code == 200
    await sender.push(*EVENT, customer(mobile="13800000001"), status="CUSTOMER_CREATED", version=NOW - 9)
    await work()
    for number in ("13800000001", "13800000002", "13800000003"):
        held = await look_up(api, "mobile", number)
        assert held is not None
        assert (held["id"], held["mobile"]) == (found["id"], "+8613800000003")


async def test_workers_side_by_side_apply_each_message_once(
    sender: Sender, entry: Entry, rows: Rows, shop: Shop, kept: Kept
) -> None:
    """Small bites, four at a time, of what is told of five people and five orders; the newest word wins everywhere."""
    for turn in range(12):
        for number in range(5):
            mobile = f"1380000010{number}"
            said = customer(f"88{number}", name=f"第{turn}版", mobile=mobile)
            status = "CUSTOMER_UPDATED" if turn else "CUSTOMER_CREATED"
            await sender.push("SCRM_CUSTOMER_EVENT", f"88{number}", said, status=status, version=NOW + (turn * 7) % 12)
            bought = trade(
                f"E{number}", payment=f"{turn}.00", buyer_id=f"88{number}", buyer_phone=mobile, yz_open_id=""
            )
            await sender.push("trade_TradePaid", f"E{number}", bought, version=NOW + (turn * 7) % 12)

    async def worker() -> int:
        done = 0
        while taken := await apply_due(entry, shop.id, limit=4):
            done += taken
        return done

    assert sum(await asyncio.gather(*(worker() for _ in range(4)))) == 120
    assert {(row["state"], row["error"]) for row in await kept()} == {("applied", None)}
    newest = next(turn for turn in range(12) if (turn * 7) % 12 == 11)
    found = await rows("select amount_fen from orders where shop_id = $1", shop.id)
    assert [row["amount_fen"] for row in found] == [newest * 100] * 5
    stored = await rows("select id from customers where shop_id = $1", shop.id)
    assert len(stored) == 5
    async with entry.shop(shop.id) as (db, of):
        names = {(await customers.get(db, of, row["id"])).profile["name"] for row in stored}
    assert names == {f"第{newest}版"}


async def test_an_older_word_waits_for_a_newer_one_that_is_being_applied(
    sender: Sender, entry: Entry, api: Api, shop: Shop, kept: Kept
) -> None:
    """Two workers, each with one of two messages about one customer: the older must not be written last."""
    await sender.push(*EVENT, customer(), status="CUSTOMER_CREATED", version=NOW)
    await apply_due(entry, shop.id)
    await sender.push(*EVENT, customer(name="newer"), status="CUSTOMER_UPDATED", version=NOW + 2)
    await sender.push(*EVENT, customer(name="older"), status="CUSTOMER_UPDATED", version=NOW + 1)
    async with entry.shop(shop.id) as (db, of):
        assert await jobs._apply_due(db, of, ids=entry.ids, limit=1) == 1
        other = asyncio.create_task(apply_due(entry, shop.id, limit=1))
        await asyncio.sleep(0.3)
        assert not other.done()
    assert await other == 1
    found = await look_up(api, "external_id", "8801", "youzan")
    assert found is not None
    assert found["name"] == "newer"
    assert [row["note"] for row in await kept()] == [None, None, "stale"]


async def test_a_server_that_goes_away_counts_against_no_message(
    sender: Sender, entry: Entry, rows: Rows, shop: Shop, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await sender.push("trade_TradePaid", f"E{number}", trade(f"E{number}"), version=NOW)
    real, own_pid = jobs._together, statement(text("select pg_backend_pid()"))

    async def cut(db: Connection, *arguments: Any) -> None:
        await rows("select pg_terminate_backend($1)", await db.fetch_value(own_pid))
        await real(db, *arguments)

    monkeypatch.setattr(jobs, "_together", cut)
    with pytest.raises(DatabaseUnavailable):
        await apply_due(entry, shop.id)
    monkeypatch.setattr(jobs, "_together", real)
    assert {(row["state"], row["failures"]) for row in await kept()} == {("pending", 0)}
    assert await apply_due(entry, shop.id) == 3
    assert {(row["state"], row["failures"]) for row in await kept()} == {("applied", 0)}
