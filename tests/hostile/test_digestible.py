"""What is accepted must also be bearable: for the workers behind, for sums, for the rows that others read."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from app.access.shops import Shop
from tests.conftest import Api, Rows
from tests.hostile.shops import unlimited

Work = Callable[[], Awaitable[None]]
CARD = [{"kind": "card_no", "value": "C-1"}]
LARGEST_FEN = 10**12


def order(number: int, **changes: Any) -> dict[str, Any]:
    """An order of the one customer."""
    body = {"order_no": f"N-{number}", "identities": CARD, "paid_at": "2026-01-02T03:04:05", "amount_fen": 1}
    return body | changes


async def lines(api: Api) -> list[Any]:
    """The exported scores, every line of them readable."""
    answer = await api.get("/v1/scores/export")
    assert answer.status_code == 200
    return [orjson.loads(line) for line in answer.content.splitlines()]


async def test_the_largest_amounts_add_up(api: Api, work: Work) -> None:
    """Ten thousand orders of the largest amount fit into every sum; one fen more is refused, and its row only."""
    await unlimited(api)
    for batch in range(10):
        orders = [order(1000 * batch + number, amount_fen=LARGEST_FEN) for number in range(1000)]
        if batch == 9:
            orders[0]["amount_fen"] += 1
        answer = (await api.post("/v1/orders/batch", {"orders": orders})).json()
        assert answer["refused"] == (batch == 9)
    await api.post("/v1/triggers/rescore", {})
    await work()
    assert [line["gross_fen"] for line in await lines(api)] == [9_999 * LARGEST_FEN]


@pytest.mark.parametrize("moment", ["1900-01-01T00:00:00", "1900-01-01T00:00:00+14:00", "2199-12-31T23:59:59-14:00"])
async def test_the_first_and_the_last_moment(api: Api, work: Work, moment: str) -> None:
    """Far away, and still a day that can be computed with, in lists, figures, scores and exports."""
    customer = {"identities": CARD, "created_at": moment, "member_since": moment}
    assert (await api.post("/v1/customers", customer)).status_code == 201
    assert (await api.post("/v1/orders", order(1, paid_at=moment, updated_at=moment))).status_code == 200
    refund = {"refund_no": "R-1", "order_no": "N-1", "amount_fen": 1, "refunded_at": moment}
    assert (await api.post("/v1/refunds", refund)).status_code == 200
    for as_of in ("1900-01-01", "2199-12-31", "2026-01-01"):
        assert (await api.post("/v1/triggers/rescore", {"as_of": as_of})).status_code == 202
    job = (await api.post("/v1/triggers/rescore", {})).json()["job_id"]
    await work()
    assert (await api.get(f"/v1/jobs/{job}")).json()["state"] == "done"
    found = (await api.get("/v1/customers", params={"limit": 1})).json()
    assert (await api.get("/v1/customers", params={"limit": 1, "cursor": found["next_cursor"]})).status_code == 200
    number = found["items"][0]["id"]
    for path in (
        f"/v1/customers/{number}",
        f"/v1/customers/{number}/scores",
        f"/v1/customers?created_from={moment[:19]}",
    ):
        assert (await api.get(path)).status_code == 200, path
    assert len(await lines(api)) == (moment < "2000")  # who is yet to come has no scores yet


@pytest.mark.parametrize("as_of", ["1899-12-31", "2200-01-01", "0001-01-01", "9999-12-31"])
async def test_days_beyond_them_are_refused_before_they_are_queued(
    api: Api, rows: Rows, shop: Shop, as_of: str
) -> None:
    assert (await api.post("/v1/triggers/rescore", {"as_of": as_of})).status_code == 422
    assert await rows("select 1 from queued_jobs where shop_id = $1", shop.id) == []


async def test_many_jobs_at_once_are_each_run_once(api: Api, work: Work, rows: Rows, shop: Shop) -> None:
    """A claim takes one job, not whatever is queued: those that it took along would wait for a lease to end."""
    for day in range(1, 21):
        assert (await api.post("/v1/triggers/rescore", {"as_of": f"2026-01-{day:02}"})).status_code == 202
    await work()
    states = await rows("select state, attempt, crashes from queued_jobs where shop_id = $1", shop.id)
    assert states == [{"state": "done", "attempt": 1, "crashes": 0}] * 20


async def test_a_small_request_is_no_large_message(api: Api) -> None:
    """A template that repeats a long variable would be copied for everyone in the audience."""
    await api.http.put("/v1/templates/echo", json={"category": "transactional", "body": "{a}" * 1_333})
    asked = {"template": "echo", "variables": {"a": "x" * 2_000}, "audience": {"customer_ids": [1]}}
    answer = await api.post("/v1/triggers/touches", asked, headers={"Idempotency-Key": "echo"})
    assert (answer.status_code, answer.json()["field"]) == (422, "variables")


async def test_the_same_words_again_change_nothing(api: Api) -> None:
    """Times without a zone are the shop's; told twice, they are no news that wakes the workers."""
    customer = {"identities": CARD, "member_since": "2025-01-02T03:04:05"}
    made = [(await api.post("/v1/customers", customer)).json() for _ in range(3)]
    assert {row["version"] for row in made} == {1}
    assert made[2]["member_since"] == "2025-01-01T19:04:05Z"
