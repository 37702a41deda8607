"""A touch from its trigger to a receiver, and everything that keeps one from leaving."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.changes import jobs
from app.core.ids import derived_id
from app.touches.jobs import plan_touches, send_due
from app.webhooks.jobs import fan_out
from tests.conftest import Api, Rows
from tests.webhooks.receiver import Answer, Receiver

Make = Callable[..., Awaitable[Any]]
Work = Callable[[], Awaitable[None]]


async def plan(entry: Entry, shop: Shop) -> None:
    """Run the planning job, and nothing after it."""
    while await jobs.run_due(entry, shop.id, {"plan_touches": plan_touches}, lease_seconds=60):
        if not await _planning(entry, shop):
            return


async def _planning(entry: Entry, shop: Shop) -> bool:
    async with entry.shop(shop.id) as (db, _):
        return bool(await db.fetch_value(jobs.has_due(["plan_touches"]), shop_id=shop.id))


async def touches(rows: Rows, shop: Shop) -> dict[int, tuple[str, str | None]]:
    """State and reason by customer."""
    found = await rows("select customer_id, state, reason from touches where shop_id = $1", shop.id)
    return {row["customer_id"]: (row["state"], row["reason"]) for row in found}


async def withdraw(api: Api, customer_id: int, channel: str = "webhook") -> None:
    """The customer changes their mind."""
    said = {"customer_id": customer_id, "channel": channel, "state": "withdrawn", "source": "a call"}
    assert (await api.post("/v1/consents", said)).status_code == 201


async def test_from_trigger_to_receiver(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, trigger: Make, receiver: Receiver
) -> None:
    endpoint = await subscribe(receiver)
    ids = await people(3)
    accepted = await trigger(ids, variables={"name": "小花"})
    await work()
    assert len(receiver.messages) == 3
    for message in receiver.messages:
        body = message.verify(endpoint["secret"])
        data = body["data"]
        assert body["type"] == "touch.requested"
        assert message.id == data["touch_id"] == str(derived_id("touch", shop.id, "spring", data["customer_id"]))
        assert (data["message"], data["variables"]) == ("Hello 小花, {5 off}", {"name": "小花"})
        assert (data["template"], data["category"], data["request_id"]) == (
            "hello",
            "marketing",
            accepted["request_id"],
        )
    assert {message.json["data"]["customer_id"] for message in receiver.messages} == set(ids)
    assert await touches(rows, shop) == dict.fromkeys(ids, ("delivered", None))
    touch = (await api.get(f"/v1/touches/{receiver.messages[0].id}")).json()
    assert (touch["state"], touch["attempts"]) == ("delivered", 1)
    assert touch["delivery"]["endpoint_id"] == endpoint["id"]
    assert [(a["attempt"], a["status"], a["error"]) for a in touch["delivery"]["attempts"]] == [(1, 200, None)]
    followed = (await api.get(f"/v1/triggers/touches/{accepted['request_id']}")).json()
    assert followed["touches"] == {"delivered": 3}


async def test_every_refusal_has_its_reason_and_nothing_leaves(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, trigger: Make, receiver: Receiver
) -> None:
    await subscribe(receiver)
    withdrawn, suppressed, inactive = await people(3)
    (silent,) = await people(1, first=4, consent=False)
    await withdraw(api, withdrawn, "*")
    await api.post("/v1/suppressions", {"customer_id": suppressed, "reason": "asked us"})
    await rows("update customers set status = 'locked' where shop_id = $1 and id = $2 returning 1", shop.id, inactive)
    await trigger([withdrawn, suppressed, inactive, silent])
    await work()
    assert await touches(rows, shop) == {
        withdrawn: ("suppressed", "consent_withdrawn"),
        suppressed: ("suppressed", "suppressed"),
        inactive: ("suppressed", "customer_inactive"),
        silent: ("suppressed", "no_consent"),
    }
    assert receiver.messages == []
    assert await rows("select id from webhook_deliveries where shop_id = $1", shop.id) == []
    assert await rows("select id from domain_events where shop_id = $1 and kind = 'touch.requested'", shop.id) == []


async def test_what_is_not_marketing_needs_no_consent(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, trigger: Make, receiver: Receiver
) -> None:
    await subscribe(receiver)
    silent, suppressed = await people(2, consent=False)
    await api.post("/v1/suppressions", {"customer_id": suppressed, "channel": "webhook", "reason": "asked us"})
    await trigger([silent, suppressed], category="transactional")
    await work()
    assert await touches(rows, shop) == {silent: ("delivered", None), suppressed: ("suppressed", "suppressed")}
    assert len(receiver.messages) == 1


async def test_a_withdrawal_after_planning_wins(
    api: Api,
    entry: Entry,
    shop: Shop,
    rows: Rows,
    work: Work,
    subscribe: Make,
    people: Make,
    trigger: Make,
    receiver: Receiver,
) -> None:
    await subscribe(receiver)
    ids = await people(2)
    await trigger(ids)
    await plan(entry, shop)
    assert set((await touches(rows, shop)).values()) == {("planned", None)}
    await withdraw(api, ids[0])
    await work()
    assert await touches(rows, shop) == {ids[0]: ("suppressed", "consent_withdrawn"), ids[1]: ("delivered", None)}
    assert [message.json["data"]["customer_id"] for message in receiver.messages] == [ids[1]]


@pytest.mark.parametrize("fanned_out", [False, True])
async def test_a_withdrawal_after_the_claim_wins(
    api: Api,
    entry: Entry,
    shop: Shop,
    rows: Rows,
    work: Work,
    subscribe: Make,
    people: Make,
    trigger: Make,
    receiver: Receiver,
    fanned_out: bool,
) -> None:
    await subscribe(receiver)
    ids = await people(2)
    await trigger(ids)
    await plan(entry, shop)
    assert await send_due(entry, shop.id) == 2
    if fanned_out:
        await fan_out(entry, shop.id)
        assert len(await rows("select id from webhook_deliveries where shop_id = $1", shop.id)) == 2
    assert set((await touches(rows, shop)).values()) == {("sending", None)}
    await withdraw(api, ids[0])
    await work()
    assert await touches(rows, shop) == {ids[0]: ("suppressed", "consent_withdrawn"), ids[1]: ("delivered", None)}
    assert [message.json["data"]["customer_id"] for message in receiver.messages] == [ids[1]]
    (cancelled,) = await rows("select * from webhook_deliveries where shop_id = $1 and state = 'cancelled'", shop.id)
    assert cancelled["last_error"] == "consent_withdrawn"
    refused = await api.post(f"/v1/webhooks/deliveries/{cancelled['id']}/resends")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_resendable")
    why = (await api.get(f"/v1/touches/{cancelled['id']}")).json()
    assert (why["state"], why["reason"], why["attempts"], why["delivery"]["state"]) == (
        "suppressed",
        "consent_withdrawn",
        0,
        "cancelled",
    )


async def test_a_withdrawal_between_attempts_wins(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, trigger: Make, receiver: Receiver
) -> None:
    await subscribe(receiver)
    receiver.answer = lambda _: Answer(503)
    (customer_id,) = await people(1)
    await trigger([customer_id])
    await work()
    assert await touches(rows, shop) == {customer_id: ("sending", None)}
    await withdraw(api, customer_id)
    receiver.answer = lambda _: Answer(200)
    await rows("update webhook_deliveries set due_at = now() where shop_id = $1 returning id", shop.id)
    await work()
    assert await touches(rows, shop) == {customer_id: ("suppressed", "consent_withdrawn")}
    assert len(receiver.messages) == 1


async def test_a_touch_goes_to_the_oldest_enabled_endpoint_only(
    api: Api,
    shop: Shop,
    rows: Rows,
    work: Work,
    subscribe: Make,
    people: Make,
    trigger: Make,
    receiver: Receiver,
    other_receiver: Receiver,
) -> None:
    oldest = await subscribe(receiver)
    await subscribe(other_receiver)
    ids = await people(2)
    await trigger(ids, key="a")
    await work()
    assert (len(receiver.messages), len(other_receiver.messages)) == (2, 0)
    await api.patch(f"/v1/webhooks/{oldest['id']}", {"enabled": False})
    await trigger(ids, key="b")
    await work()
    assert (len(receiver.messages), len(other_receiver.messages)) == (2, 2)
    states = await rows("select state from touches where shop_id = $1", shop.id)
    assert [row["state"] for row in states] == ["delivered"] * 4


async def test_without_an_endpoint_a_touch_has_failed(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, trigger: Make, receiver: Receiver
) -> None:
    await subscribe(receiver, "order.paid")
    ids = await people(2)
    await trigger(ids)
    await work()
    assert await touches(rows, shop) == dict.fromkeys(ids, ("failed", "no_endpoint"))
    assert receiver.messages == []
