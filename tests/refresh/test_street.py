"""Orders in, scores and tiers out: the refresh and the full run over HTTP and rows."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.access.shops import Shop
from tests.conftest import Api, Rows

Work = Callable[[], Awaitable[None]]


def order(number: int, person: int, days_ago: int, amount_fen: int, **more: Any) -> dict[str, Any]:
    """A paid order."""
    paid_at = datetime.now(UTC) - timedelta(days=days_ago)
    return {
        "order_no": f"O{number}",
        "identities": [{"kind": "external_id", "value": f"P{person}", "scope": "pos"}],
        "paid_at": paid_at.isoformat(),
        "amount_fen": amount_fen,
        "version": 1,
        **more,
    }


async def test_orders_become_stats_and_tiers(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    batch = [order(i, i % 20, days_ago=i * 3, amount_fen=1000 * (i % 20 + 1)) for i in range(1, 101)]
    answer = await api.post("/v1/orders/batch", {"orders": batch})
    assert answer.status_code == 200, answer.text
    assert answer.json()["created"] == 100, answer.text
    await work()
    stats = await rows("select * from customer_stats where shop_id = $1", shop.id)
    assert len(stats) == 20
    assert sum(row["orders"] for row in stats) == 100
    assert sum(row["net_fen"] for row in stats) == sum(o["amount_fen"] for o in batch)

    accepted = await api.post("/v1/triggers/rescore", {})
    assert accepted.status_code == 202, accepted.text
    await work()
    job = (await api.get(f"/v1/jobs/{accepted.json()['job_id']}")).json()
    assert job["state"] == "done", job
    assert job["done"] == job["total"] == 40
    lines = (await api.get("/v1/scores/export")).text.splitlines()
    assert len(lines) == 20
    top = await rows("select customer_id from customer_scores where shop_id = $1 and tier = 'vip'", shop.id)
    assert len(top) == 2
    seen = (await api.get(f"/v1/customers/{top[0]['customer_id']}/scores")).json()
    assert seen["tier"] == "vip"
    assert seen["tier_changes"][0]["to_tier"] == "vip"
    listed = (await api.get("/v1/customers", params={"tier": "vip"})).json()
    assert {row["id"] for row in listed["items"]} == {row["customer_id"] for row in top}


async def test_a_refund_counts_before_or_after_its_order(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    refund = {"refund_no": "R1", "order_no": "O1", "amount_fen": 400, "refunded_at": datetime.now(UTC).isoformat()}
    early = await api.post("/v1/refunds", refund)
    assert early.json() == {"refund_no": "R1", "status": "created", "waiting": True}
    await api.post("/v1/orders", order(1, 1, 1, 1000))
    await work()
    (stats,) = await rows("select * from customer_stats where shop_id = $1", shop.id)
    assert (stats["gross_fen"], stats["refund_fen"], stats["net_fen"]) == (1000, 400, 600)
    await api.post("/v1/refunds", refund | {"amount_fen": 500, "version": 2})
    await work()
    (stats,) = await rows("select * from customer_stats where shop_id = $1", shop.id)
    assert stats["net_fen"] == 500
