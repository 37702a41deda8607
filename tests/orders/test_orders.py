"""Orders and refunds over HTTP: the newest telling wins, in any order and repetition."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from app.core.crypto import fingerprint
from app.core.ids import CustomerIds
from app.orders import service
from app.orders.schemas import OrderWrite, RefundWrite
from tests.conftest import Api, Rows

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(**more: Any) -> dict[str, Any]:
    """A paid order of one person."""
    return {
        "order_no": "A1",
        "identities": [{"kind": "mobile", "value": "13800000001"}],
        "paid_at": T0.isoformat(),
        "amount_fen": 1999,
        "items": [{"sku": "S1", "name": "洗面奶", "quantity": 1, "price_fen": 1999}],
        **more,
    }


async def test_an_order_makes_the_person_and_its_rows(api: Api, shop: Shop, rows: Rows) -> None:
    answer = await api.post("/v1/orders", order(version=1))
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "created"
    (stored,) = await rows("select * from orders where shop_id = $1", shop.id)
    assert (stored["customer_id"], stored["amount_fen"]) == (answer.json()["customer_id"], 1999)
    assert stored["paid_at"] == T0
    items = await rows("select sku, quantity, price_fen from order_items where shop_id = $1", shop.id)
    assert items == [{"sku": "S1", "quantity": 1, "price_fen": 1999}]
    events = await rows("select kind from domain_events where shop_id = $1 order by kind", shop.id)
    assert [event["kind"] for event in events] == ["customer.created", "order.paid"]


async def test_the_same_telling_twice_changes_nothing(api: Api, shop: Shop, rows: Rows) -> None:
    first = await api.post("/v1/orders", order())
    before = await rows("select * from orders where shop_id = $1", shop.id)
    assert (await api.post("/v1/orders", order())).json() == first.json() | {"status": "unchanged"}
    assert await rows("select * from orders where shop_id = $1", shop.id) == before


async def test_discounts_and_categories_are_kept_and_told_anew(api: Api, shop: Shop, rows: Rows) -> None:
    items = [
        {"sku": "S1", "category": " 洁面\t", "quantity": 1, "price_fen": 1500},
        {"sku": "S2", "category": "  ", "quantity": 1, "price_fen": 999},
        {"sku": "S3", "quantity": 1, "price_fen": 0},
    ]
    assert (await api.post("/v1/orders", order(version=1, discount_fen=500, items=items))).status_code == 200
    (stored,) = await rows("select amount_fen, discount_fen from orders where shop_id = $1", shop.id)
    assert stored == {"amount_fen": 1999, "discount_fen": 500}
    of_items = "select sku, category from order_items where shop_id = $1 order by line_no"
    assert await rows(of_items, shop.id) == [
        {"sku": "S1", "category": "洁面"},
        {"sku": "S2", "category": None},
        {"sku": "S3", "category": None},
    ]
    assert (await api.post("/v1/orders", order(version=2, items=items[1:]))).json()["status"] == "updated"
    (stored,) = await rows("select amount_fen, discount_fen from orders where shop_id = $1", shop.id)
    assert stored == {"amount_fen": 1999, "discount_fen": 0}
    assert await rows(of_items, shop.id) == [{"sku": "S2", "category": None}, {"sku": "S3", "category": None}]


async def test_what_was_told_before_there_were_discounts_is_unchanged(api: Api, shop: Shop, rows: Rows) -> None:
    await api.post("/v1/orders", order())
    before = await rows("select * from orders where shop_id = $1", shop.id)
    as_then = (
        '{"version":null,"updated_at":null,"order_no":"A1","identities":[{"kind":"mobile","value":"+8613800000001",'
        '"scope":"","verified":false}],"store_id":null,"channel":null,"status":"paid",'
        '"paid_at":"2026-03-01T12:00:00Z","amount_fen":1999,"currency":"CNY","items":[{"sku":"S1","name":"洗面奶",'
        '"quantity":1,"price_fen":1999}]}'
    )
    assert before[0]["payload_hash"] == fingerprint(as_then.encode())
    (item,) = order()["items"]
    for empty in (None, "", "   "):
        again = order(discount_fen=0, items=[item | {"category": empty}])
        assert (await api.post("/v1/orders", again)).json()["status"] == "unchanged"
    assert await rows("select * from orders where shop_id = $1", shop.id) == before


async def test_a_late_older_telling_does_not_win(api: Api, shop: Shop, rows: Rows) -> None:
    await api.post("/v1/orders", order(version=2, status="completed"))
    late = await api.post("/v1/orders", order(version=1, status="paid", items=[]))
    assert late.json()["status"] == "unchanged"
    (stored,) = await rows("select status from orders where shop_id = $1", shop.id)
    assert stored["status"] == "completed"
    assert len(await rows("select 1 from order_items where shop_id = $1", shop.id)) == 1


async def test_times_without_a_zone_are_the_shops(api: Api, shop: Shop, rows: Rows) -> None:
    await api.post("/v1/orders", order(paid_at="2026-03-01T20:00:00"))
    (stored,) = await rows("select paid_at from orders where shop_id = $1", shop.id)
    assert stored["paid_at"] == T0


async def test_bad_orders_name_the_field(api: Api) -> None:
    for change, field in (
        ({"amount_fen": -1}, "amount_fen"),
        ({"amount_fen": 1.5}, "amount_fen"),
        ({"amount_fen": 10**16}, "amount_fen"),
        ({"identities": []}, "identities"),
        ({"order_no": "x" * 65}, "order_no"),
        ({"discount_fen": -1}, "discount_fen"),
        ({"discount_fen": None}, "discount_fen"),
        ({"currency": "yuan"}, "currency"),
        ({"status": "lost"}, "status"),
        ({"items": [{"quantity": 0, "price_fen": 1}]}, "items.0.quantity"),
        ({"items": [{"quantity": 1, "price_fen": 1, "category": "长" * 65}]}, "items.0.category"),
        ({"version": 1, "updated_at": T0.isoformat()}, "body"),
        ({"surprise": 1}, "surprise"),
    ):
        answer = await api.post("/v1/orders", order(**change))
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_a_batch_keeps_the_good_rows(api: Api, shop: Shop, rows: Rows) -> None:
    batch = [order(order_no=f"B{i}") for i in range(5)] + [order(order_no="bad one"), order(order_no="B0", version=3)]
    answer = (await api.post("/v1/orders/batch", {"orders": batch})).json()
    assert (answer["created"], answer["refused"], answer["unchanged"]) == (5, 1, 1)
    assert answer["results"][5]["error"]["field"] == "order_no"
    assert answer["results"][0]["status"] == "unchanged", "the newer telling of B0 in the same batch was kept"
    assert len(await rows("select 1 from customers where shop_id = $1", shop.id)) == 1
    assert len(await rows("select 1 from orders where shop_id = $1", shop.id)) == 5


async def test_many_tills_at_once_end_in_one_order(api: Api, shop: Shop, rows: Rows) -> None:
    answers = await asyncio.gather(
        *(api.post("/v1/orders", order(version=version, amount_fen=version)) for version in range(1, 41))
    )
    assert {answer.status_code for answer in answers} == {200}
    (stored,) = await rows("select amount_fen, source_version from orders where shop_id = $1", shop.id)
    assert stored == {"amount_fen": 40, "source_version": 40}
    assert len(await rows("select 1 from order_items where shop_id = $1", shop.id)) == 1
    assert len(await rows("select 1 from customers where shop_id = $1", shop.id)) == 1
    paid = await rows("select 1 from domain_events where shop_id = $1 and kind = 'order.paid'", shop.id)
    assert len(paid) == 1


def _tellings() -> st.SearchStrategy[list[dict[str, Any]]]:
    telling = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["order", "order", "refund"]),
            "number": st.integers(1, 3),
            "person": st.integers(1, 2),
            "version": st.one_of(st.none(), st.integers(0, 2)),
            "amount_fen": st.integers(0, 3),
            "discount_fen": st.integers(0, 2),
            "category": st.sampled_from([None, "洁面", "防晒"]),
            "closed": st.booleans(),
            "items": st.integers(0, 2),
        }
    )
    return st.lists(telling, min_size=1, max_size=8)


def _parsed(told: dict[str, Any]) -> OrderWrite | RefundWrite:
    moment = (T0 + timedelta(hours=told["number"])).isoformat()
    if told["kind"] == "refund":
        return RefundWrite.model_validate(
            {
                "refund_no": f"R{told['number']}",
                "order_no": f"O{told['person']}",
                "amount_fen": told["amount_fen"],
                "refunded_at": moment,
                "version": told["version"],
            }
        )
    return OrderWrite.model_validate(
        {
            "order_no": f"O{told['number']}",
            "identities": [{"kind": "external_id", "value": f"P{told['person']}"}],
            "paid_at": moment,
            "status": "closed" if told["closed"] else "paid",
            "amount_fen": told["amount_fen"],
            "discount_fen": told["discount_fen"],
            "items": [
                {"quantity": n + 1, "price_fen": told["amount_fen"], "category": told["category"]}
                for n in range(told["items"])
            ],
            "version": told["version"],
        }
    )


_shops = itertools.count()


async def _deliver(entry: Entry, rows: Rows, told: list[OrderWrite | RefundWrite], sizes: int) -> Any:
    """Deliver in batches of a size to a new shop. Returns its rows without surrogate ids and receipt times."""
    shop = await entry.shops.get(await create_shop(entry.database, entry.root, name=f"shop {next(_shops)}"))
    ids = CustomerIds()
    for start in range(0, len(told), sizes):
        batch = told[start : start + sizes]
        orders = [one for one in batch if isinstance(one, OrderWrite)]
        back = [one for one in batch if isinstance(one, RefundWrite)]
        async with entry.shop(shop.id) as (db, of):
            settled = await service.put_refunds(db, of, back)
            assert [result.refund_no for result in settled] == [one.refund_no for one in back]
            outcomes = await service.put_orders(db, of, ids, orders)
            assert all(outcome.error is None for outcome in outcomes)
    async with entry.shop(shop.id) as (db, of):
        await service.settle_refunds(db, of)
    kept = await rows(
        """
        select o.order_no, encode(o.payload_hash, 'hex') as hash, o.source_version, o.status, o.amount_fen,
               o.discount_fen, o.paid_at, o.store_id, o.channel, i.kind = o.identity_kind as same_kind,
               (select array_agg((n.line_no, n.quantity, n.price_fen, n.category) order by n.line_no)
                from order_items n where n.shop_id = o.shop_id and n.order_no = o.order_no)::text as items
        from orders o
        join identities i on i.shop_id = o.shop_id and i.customer_id = o.customer_id and i.value_hash = o.identity_hash
        where o.shop_id = $1 order by o.order_no
        """,
        shop.id,
    )
    refunds = await rows(
        "select refund_no, order_no, amount_fen, refunded_at, source_version, settled from refunds "
        "where shop_id = $1 order by refund_no",
        shop.id,
    )
    people = await rows("select count(*) from customers where shop_id = $1", shop.id)
    return kept, refunds, people


async def test_any_permutation_of_deliveries_ends_in_the_same_rows(entry: Entry, rows: Rows) -> None:
    loop = asyncio.get_running_loop()

    @given(tellings=_tellings(), order=st.randoms(use_true_random=False), sizes=st.integers(1, 8))
    def check(tellings: list[dict[str, Any]], order: Any, sizes: int) -> None:
        told = [_parsed(one) for one in tellings]
        shuffled = [*told, *(order.choice(told) for _ in range(3))]
        order.shuffle(shuffled)

        async def both() -> tuple[Any, Any]:
            return await _deliver(entry, rows, told, 1), await _deliver(entry, rows, shuffled, sizes)

        straight, mixed = asyncio.run_coroutine_threadsafe(both(), loop).result(60)
        assert straight == mixed

    await asyncio.to_thread(check)
