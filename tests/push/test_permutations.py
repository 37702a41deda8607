"""The same messages in any order, cut into any batches and told any number of times, end in the same rows."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from tests.conftest import MakeApi, Rows
from tests.push.conftest import MakeSender
from tests.push.sender import Json, Sender, customer, refund, trade
from workers.house import House

NOW = 1_893_456_000_000

# What is told of one person, two orders, a refund and a card. Equal versions are on purpose.
STORY: Sequence[tuple[str, str, str, Json, int]] = (
    ("SCRM_CUSTOMER_EVENT", "8801", "CUSTOMER_CREATED", customer(), NOW),
    ("SCRM_CUSTOMER_EVENT", "8801", "CUSTOMER_UPDATED", customer(name="二", birthday=""), NOW + 2),
    ("SCRM_CUSTOMER_EVENT", "8801", "CUSTOMER_UPDATED", customer(name="三", gender=1, birthday="1991-01-01"), NOW + 2),
    ("SCRM_CUSTOMER_CARD", "C-1", "CUSTOMER_CARD_GIVEN", {"card_no": "C-1", "mobile": "13800000001"}, NOW + 1),
    ("trade_TradeCreate", "E1", "", trade("E1", pay_time=None, payment="210.00"), NOW),
    ("trade_TradePaid", "E1", "", trade("E1"), NOW),
    ("trade_TradeSuccess", "E1", "", {"tid": "E1"}, NOW + 5),
    ("trade_TradeSellerShip", "E1", "", {"tid": "E1"}, NOW + 5),
    ("trade_TradeCreate", "E2", "", trade("E2", pay_time=None), NOW + 1),
    ("trade_TradeClose", "E2", "", {"tid": "E2", "close_type": 1}, NOW + 2),
    ("trade_refund_RefundSuccess", "R-1", "", refund("E1"), NOW + 6),
    ("trade_refund_RefundSuccess", "R-1", "", refund("E1", fee="20.00"), NOW + 7),
)
OUTCOME = (
    "select order_no, status, paid_at, amount_fen, source_version, channel, identity_kind from orders "
    "where shop_id = $1 order by 1",
    "select order_no, line_no, sku, name, quantity, price_fen from order_items where shop_id = $1 order by 1, 2",
    "select refund_no, order_no, amount_fen, refunded_at, source_version, settled from refunds where shop_id = $1",
    "select gender, birthday, mobile_verified, status from customers where shop_id = $1",
    "select kind, scope, count(*) from identities where shop_id = $1 group by 1, 2 order by 1, 2",
    "select msg_id, state, error from push_messages where shop_id = $1 order by 1",
    "select kind, data->>'order_no' as order_no from domain_events where shop_id = $1 and kind = 'order.paid'",
)


async def test_any_order_ends_in_the_same_rows(
    entry: Entry, house: House, rows: Rows, make_api: MakeApi, make_sender: MakeSender, outside: httpx.AsyncClient
) -> None:
    async def end_of(order: Sequence[int], cuts: set[int]) -> list[Any]:
        number = await create_shop(entry.database, entry.root, name="any order")
        shop: Shop = await entry.shops.get(number)
        api = await make_api(shop)
        sender: Sender = await make_sender(api, shop)
        for place, index in enumerate(order):
            type_, subject, status, msg, version = STORY[index]
            told = sender.body(type_, subject, msg, status=status, version=version, msg_id=f"M-{index:02}")
            assert (await sender.send(told)).status_code == 200
            if place in cuts:
                await house.rounds.wake("push", number)
        await house.rounds.wake("push", number)
        await house.rounds.wake("refunds", number)
        outcome = [await rows(sql, number) for sql in OUTCOME]
        found = await api.post("/v1/customers/lookup", {"identity": {"kind": "card_no", "value": "C-1"}})
        return [*outcome, found.json()["name"], found.json()["mobile"]]

    straight = await end_of(range(len(STORY)), set())
    orders = straight[0]
    assert [(row["status"], row["amount_fen"], row["paid_at"] is None) for row in orders] == [
        ("completed", 19990, False),
        ("closed", 19990, True),
    ]
    assert [row["amount_fen"] for row in straight[2]] == [2000]
    assert {row["state"] for row in straight[5]} == {"applied"}
    assert straight[-2:] == ["三", "+8613800000001"]
    loop = asyncio.get_running_loop()

    @settings(max_examples=25)
    @given(
        order=st.permutations(range(len(STORY))),
        repeated=st.lists(st.integers(0, len(STORY) - 1), max_size=4),
        cuts=st.sets(st.integers(0, len(STORY) - 1)),
    )
    def check(order: list[int], repeated: list[int], cuts: set[int]) -> None:
        ended = asyncio.run_coroutine_threadsafe(end_of([*order, *repeated], cuts), loop).result(60)
        assert ended == straight

    await asyncio.to_thread(check)
