"""Failed attempts, retries, endpoints that are gone, and sending again, against a real receiver."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.access.shops import Shop
from app.webhooks.schedule import DELAYS_SECONDS, MAX_ATTEMPTS
from app.webhooks.verdicts import Verdict, judge
from tests.conftest import Api, Rows
from tests.webhooks.receiver import Answer, Receiver

Make = Callable[..., Awaitable[Any]]
Work = Callable[[], Awaitable[None]]


async def due_now(rows: Rows, shop: Shop) -> None:
    """Time passes."""
    await rows(
        "update webhook_deliveries set due_at = now() where shop_id = $1 and state = 'pending' returning id", shop.id
    )


async def delivery(rows: Rows, shop: Shop) -> dict[str, Any]:
    """The shop's only one."""
    (row,) = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    return row


def wait_of(row: dict[str, Any]) -> float:
    """Seconds from now until the next attempt."""
    wait: timedelta = row["due_at"] - datetime.now(UTC)
    return wait.total_seconds()


@pytest.mark.parametrize(
    ("status", "error", "failures", "verdict"),
    [
        (200, None, 0, Verdict("delivered")),
        (204, "connection_lost", 7, Verdict("delivered")),
        (302, None, 0, Verdict("pending", "http_302", DELAYS_SECONDS[0])),
        (500, "body_cut", 1, Verdict("pending", "body_cut", DELAYS_SECONDS[1])),
        (None, "connect_failed", 6, Verdict("pending", "connect_failed", DELAYS_SECONDS[6])),
        (None, "connect_failed", 7, Verdict("failed", "connect_failed")),
        (410, None, 0, Verdict("failed", "http_410")),
    ],
)
def test_verdicts(status: int | None, error: str | None, failures: int, verdict: Verdict) -> None:
    found = judge(status, error, failures, retry_after=None, jitter=0.5)
    assert (found.state, found.error) == (verdict.state, verdict.error)
    assert found.delay_seconds == pytest.approx(verdict.delay_seconds)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (Answer(500), 500, "http_500"),
        (Answer(301, {"location": "http://127.0.0.1:1/"}), 301, "http_301"),
        (Answer(cut=True), None, "protocol_error"),
    ],
)
async def test_a_failure_is_logged_and_tried_again_under_the_same_id(
    api: Api,
    shop: Shop,
    rows: Rows,
    work: Work,
    subscribe: Make,
    people: Make,
    receiver: Receiver,
    answer: Answer,
    status: int | None,
    error: str,
) -> None:
    endpoint = await subscribe(receiver, "customer.created")
    receiver.answer = lambda _: answer
    await people(1, consent=False)
    await work()
    row = await delivery(rows, shop)
    assert (row["state"], row["attempt"], row["failures"]) == ("pending", 1, 1)
    assert (row["last_status"], row["last_error"]) == (status, error)
    assert 23 < wait_of(row) < 36
    assert (await api.get(f"/v1/webhooks/{endpoint['id']}")).json()["failing_since"] is not None
    receiver.answer = lambda _: Answer(200)
    await work()
    assert len(receiver.messages) == 1  # not before it is due
    await due_now(rows, shop)
    await work()
    assert len(set(receiver.ids)) == 1
    assert len(receiver.ids) == 2
    assert len({message.body for message in receiver.messages}) == 1
    for message in receiver.messages:
        message.verify(endpoint["secret"])
    seen = (await api.get(f"/v1/webhooks/deliveries/{row['id']}")).json()
    assert (seen["state"], seen["attempt"]) == ("delivered", 2)
    assert [(a["status"], a["error"]) for a in seen["attempts"]] == [(status, error), (200, None)]
    assert (await api.get(f"/v1/webhooks/{endpoint['id']}")).json()["failing_since"] is None


async def test_retry_after_is_honoured(
    shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, receiver: Receiver
) -> None:
    await subscribe(receiver, "customer.created")
    receiver.answer = lambda _: Answer(503, {"retry-after": "3600"})
    await people(1, consent=False)
    await work()
    assert 3590 < wait_of(await delivery(rows, shop)) < 3970


async def test_after_eight_attempts_it_has_failed_and_can_be_sent_again(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, trigger: Make, receiver: Receiver
) -> None:
    await subscribe(receiver)
    receiver.answer = lambda _: Answer(500)
    ids = await people(1)
    await trigger(ids)
    for _ in range(MAX_ATTEMPTS + 1):
        await work()
        await due_now(rows, shop)
    row = await delivery(rows, shop)
    assert (row["state"], row["failures"], len(receiver.messages)) == ("failed", 8, 8)
    (touch,) = await rows("select * from touches where shop_id = $1", shop.id)
    assert (touch["state"], touch["reason"], touch["attempts"]) == ("failed", "http_500", 8)

    receiver.answer = lambda _: Answer(200)
    resent = await api.post(f"/v1/webhooks/deliveries/{row['id']}/resends")
    assert resent.status_code == 202, resent.text
    await work()
    row = await delivery(rows, shop)
    assert (row["state"], row["attempt"], row["failures"]) == ("delivered", 9, 0)
    assert len(set(receiver.ids)) == 1
    (touch,) = await rows("select * from touches where shop_id = $1", shop.id)
    assert (touch["state"], touch["reason"], touch["attempts"]) == ("delivered", None, 9)

    again = await api.post(f"/v1/webhooks/deliveries/{row['id']}/resends")
    assert again.status_code == 202
    receiver.answer = lambda _: Answer(410)
    await work()
    (touch,) = await rows("select * from touches where shop_id = $1", shop.id)
    assert touch["state"] == "delivered"  # it was, once


async def test_gone_disables_and_enabling_takes_up_what_is_owed(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, receiver: Receiver
) -> None:
    endpoint = await subscribe(receiver, "customer.created")
    receiver.answer = lambda _: Answer(410)
    await people(1, consent=False)
    await work()
    seen = (await api.get(f"/v1/webhooks/{endpoint['id']}")).json()
    assert (seen["enabled"], seen["reason"]) == (False, "gone")
    row = await delivery(rows, shop)
    assert (row["state"], row["last_status"]) == ("failed", 410)
    await people(1, first=2, consent=False)  # nobody is subscribed now
    await work()
    refused = await api.post(f"/v1/webhooks/deliveries/{row['id']}/resends")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_resendable")
    assert len(receiver.messages) == 1
    receiver.answer = lambda _: Answer(200)
    assert (await api.patch(f"/v1/webhooks/{endpoint['id']}", {"enabled": True})).json()["reason"] is None
    assert (await api.post(f"/v1/webhooks/deliveries/{row['id']}/resends")).status_code == 202
    await work()
    assert (await delivery(rows, shop))["state"] == "delivered"


async def test_three_days_of_failures_disable_an_endpoint_and_its_deliveries_wait(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, receiver: Receiver
) -> None:
    endpoint = await subscribe(receiver, "customer.created")
    receiver.answer = lambda _: Answer(500)
    await people(2, consent=False)
    await work()
    path = f"/v1/webhooks/{endpoint['id']}"
    assert (await api.get(path)).json()["enabled"] is True
    await rows(
        "update webhook_endpoints set failing_since = now() - interval '73 hours' where shop_id = $1 returning id",
        shop.id,
    )
    await due_now(rows, shop)
    await work()
    seen = (await api.get(path)).json()
    assert (seen["enabled"], seen["reason"]) == (False, "failing")
    sent = len(receiver.messages)
    await due_now(rows, shop)
    await work()
    assert len(receiver.messages) == sent
    pending = (await api.get(f"{path}/deliveries", params={"state": "pending"})).json()["items"]
    assert len(pending) == 2
    receiver.answer = lambda _: Answer(200)
    await api.patch(path, {"enabled": True})
    await work()
    assert len((await api.get(f"{path}/deliveries", params={"state": "delivered"})).json()["items"]) == 2
    assert (await api.get(path)).json()["failing_since"] is None


async def test_the_log_comes_in_pages_newest_first(
    api: Api, work: Work, subscribe: Make, people: Make, receiver: Receiver
) -> None:
    endpoint = await subscribe(receiver, "customer.created")
    await people(5, consent=False)
    await work()
    seen: list[Any] = []
    parameters = {"limit": "2"}
    while True:
        page = (await api.get(f"/v1/webhooks/{endpoint['id']}/deliveries", params=parameters)).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert len({item["id"] for item in seen}) == 5
    assert [(i["created_at"], i["id"]) for i in seen] == sorted(
        ((i["created_at"], i["id"]) for i in seen), reverse=True
    )
    for cursor in ("WzFd", "WyJ4IiwieSJd", "!"):
        broken = await api.get(f"/v1/webhooks/{endpoint['id']}/deliveries", params={"cursor": cursor})
        assert (broken.status_code, broken.json()["field"]) == (422, "cursor")
