"""The breaker of endpoints in Youzan's form: too many failures, and only a heartbeat is sent until it is answered."""

import asyncio
import json
from datetime import UTC, datetime
from ipaddress import ip_network
from uuid import UUID

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.webhooks import queue, repository, turns
from app.webhooks.jobs import fan_out
from app.webhooks.lanes import Deliverer
from tests.conftest import Api, Rows
from tests.push.listener import ACK, Json, Work, due_now, read_push, subscribe
from tests.webhooks.receiver import Answer, Message, Receiver


async def people(api: Api, first: int, count: int) -> None:
    """So many messages owed."""
    batch = [{"identities": [{"kind": "mobile", "value": f"139{n:08d}"}]} for n in range(first, first + count)]
    assert (await api.post("/v1/customers/batch", {"customers": batch})).json()["created"] == count


async def held_back(api: Api, endpoint: Json) -> bool:
    """What the API says of it."""
    told = (await api.get(f"/v1/webhooks/{endpoint['id']}")).json()
    assert told["enabled"] is True
    return bool(told["held_back"])


async def deliveries(rows: Rows, shop: Shop) -> dict[str, list[Json]]:
    """As stored, by kind."""
    found: dict[str, list[Json]] = {"customer.created": [], "heartbeat": []}
    for row in await rows("select * from webhook_deliveries where shop_id = $1 order by created_at", shop.id):
        found[row["kind"]].append(row)
    return found


@pytest.fixture
async def broken(api: Api, receiver: Receiver, work: Work) -> Json:
    """An endpoint whose breaker has just opened: five messages were refused."""
    endpoint = await subscribe(api, receiver)
    receiver.answer = lambda _: Answer(500)
    await people(api, 1, 5)
    await work()
    assert await held_back(api, endpoint)
    return endpoint


async def test_while_it_is_open_only_a_heartbeat_is_sent(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, broken: Json
) -> None:
    await people(api, 6, 3)
    await due_now(rows, shop)
    receiver.messages.clear()
    await work()
    (beat,) = receiver.messages
    body, inside = read_push(beat, broken["secret"])
    assert (body["test"], inside) == (True, {})
    stored = await deliveries(rows, shop)
    (probe,) = stored["heartbeat"]
    assert (probe["state"], body["msg_id"]) == ("pending", probe["message_id"])
    assert 3 < (probe["due_at"] - datetime.now(UTC)).total_seconds() <= 6
    assert sorted(row["failures"] for row in stored["customer.created"]) == [0] * 3 + [1] * 5, "waiting costs nothing"

    await due_now(rows, shop)
    await work()
    again, _ = read_push(receiver.messages[-1], broken["secret"])
    assert (again["msg_id"], again["sendCount"]) == (body["msg_id"], body["sendCount"] + 1)


async def test_the_first_heartbeat_that_is_acknowledged_lets_messages_flow(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, broken: Json
) -> None:
    receiver.messages.clear()
    receiver.answer = lambda _: ACK
    await due_now(rows, shop)
    await work()
    await work()
    assert not await held_back(api, broken)
    bodies = [read_push(message, broken["secret"])[0] for message in receiver.messages]
    assert [body["test"] for body in bodies] == [True] + [False] * 5
    stored = await deliveries(rows, shop)
    assert {row["state"] for kind in stored.values() for row in kind} == {"delivered"}


@pytest.mark.parametrize(("failing", "of", "opens"), [(4, 4, False), (4, 5, False), (5, 5, True), (5, 6, True)])
async def test_it_opens_above_four_fifths_of_five_or_more(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, failing: int, of: int, opens: bool
) -> None:
    endpoint = await subscribe(api, receiver)
    seen: set[str] = set()

    def answer(message: Message) -> Answer:
        seen.add(read_push(message, endpoint["secret"])[0]["msg_id"])
        return Answer(500) if len(seen) > of - failing else ACK

    receiver.answer = answer
    await people(api, 1, of)
    await work()
    assert await held_back(api, endpoint) is opens
    assert len((await deliveries(rows, shop))["heartbeat"]) == int(opens)


async def test_failures_longer_ago_do_not_count(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows
) -> None:
    endpoint = await subscribe(api, receiver)
    receiver.answer = lambda _: Answer(500)
    for first in (1, 5):
        await people(api, first, 4)
        await work()
        assert not await held_back(api, endpoint)
        await rows(
            "update webhook_endpoints set window_at = window_at - interval '11 seconds' where shop_id = $1 returning 1",
            shop.id,
        )


async def test_the_other_form_has_none(api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows) -> None:
    endpoint = await subscribe(api, receiver, format="standard", kinds=["customer.created"])
    receiver.answer = lambda _: Answer(500)
    await people(api, 1, 8)
    await work()
    assert not await held_back(api, endpoint)
    assert (await deliveries(rows, shop))["heartbeat"] == []


async def test_enabling_lets_messages_flow(api: Api, receiver: Receiver, work: Work, broken: Json) -> None:
    receiver.answer = lambda _: ACK
    changed = await api.patch(f"/v1/webhooks/{broken['id']}", {"enabled": True})
    assert (changed.status_code, changed.json()["held_back"]) == (200, False)
    receiver.messages.clear()
    await people(api, 6, 1)
    await work()
    assert [read_push(message, broken["secret"])[0]["test"] for message in receiver.messages] == [False]


async def test_a_heartbeat_that_is_acknowledged_at_once_still_spares_the_messages(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows
) -> None:
    endpoint = await subscribe(api, receiver)
    receiver.answer = lambda message: ACK if json.loads(message.body)["test"] else Answer(500)
    await people(api, 1, 40)
    await work()
    assert await held_back(api, endpoint)
    stored = await deliveries(rows, shop)
    (probe,) = stored["heartbeat"]
    assert (probe["state"], probe["attempt"]) == ("pending", 0)
    assert 3 < (probe["due_at"] - datetime.now(UTC)).total_seconds() <= 6
    assert sum(row["failures"] for row in stored["customer.created"]) < 40


async def test_a_heartbeat_goes_at_its_own_pace(
    shop: Shop, receiver: Receiver, work: Work, rows: Rows, broken: Json
) -> None:
    receiver.answer = lambda _: Answer(503, {"Retry-After": "3600"})
    await due_now(rows, shop)
    await work()
    (probe,) = (await deliveries(rows, shop))["heartbeat"]
    assert probe["attempt"] == 1
    assert (probe["due_at"] - datetime.now(UTC)).total_seconds() <= 6


async def test_an_operator_can_ask_at_once(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, broken: Json
) -> None:
    receiver.answer = lambda _: ACK
    receiver.messages.clear()
    asked = await api.post(f"/v1/webhooks/{broken['id']}/heartbeats")
    (probe,) = (await deliveries(rows, shop))["heartbeat"]
    assert (asked.status_code, asked.json()["id"]) == (202, str(probe["id"]))
    await work()
    assert not await held_back(api, broken)
    assert read_push(receiver.messages[0], broken["secret"])[0]["test"] is True


async def test_the_log_of_very_many_attempts_shows_the_newest(api: Api, shop: Shop, rows: Rows, broken: Json) -> None:
    (probe,) = (await deliveries(rows, shop))["heartbeat"]
    await rows(
        "insert into webhook_attempts (shop_id, delivery_id, attempt, attempted_at, seconds, status) "
        "select $1, $2, n, now(), 0, 500 from generate_series(1, 300) as n returning 1",
        shop.id,
        probe["id"],
    )
    log = (await api.get(f"/v1/webhooks/deliveries/{probe['id']}")).json()["attempts"]
    assert [attempt["attempt"] for attempt in log] == list(range(201, 301))


async def test_what_failed_before_enabling_does_not_count(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, broken: Json
) -> None:
    # as attempts that were under way when it opened leave it
    await rows(
        "update webhook_endpoints set window_at = now(), window_attempts = 8, window_failures = 8 "
        "where shop_id = $1 returning 1",
        shop.id,
    )
    receiver.answer = lambda _: ACK
    await api.patch(f"/v1/webhooks/{broken['id']}", {"enabled": True})
    await people(api, 6, 1)
    await work()
    assert not await held_back(api, broken)
    assert len((await deliveries(rows, shop))["heartbeat"]) == 1


async def test_a_removal_and_a_heartbeat_that_kills_workers_wait_for_each_other_in_one_order(
    entry: Entry, shop: Shop, rows: Rows, broken: Json
) -> None:
    await rows(
        "update webhook_deliveries set state = 'sending', crashes = $2, due_at = now() "
        "where shop_id = $1 and kind = 'heartbeat' returning 1",
        shop.id,
        queue.CRASHES_BEFORE_QUARANTINE - 1,
    )
    endpoint_id = UUID(broken["id"])

    async def take() -> turns.Claim | None:
        async with entry.shop(shop.id) as (db, of):
            return await turns.take(db, of, endpoint_id, abandoned=True, limit=1, lease_seconds=10, timeout_seconds=5)

    async with entry.shop(shop.id) as (db, _):
        await db.fetch_value(repository.LOCK_ENDPOINT, shop_id=shop.id, id=endpoint_id)
        taking = asyncio.create_task(take())
        await asyncio.sleep(0.3)
        cancelled = await repository.drop_endpoint(db, shop.id, endpoint_id, "removed", datetime.now(UTC))
    assert cancelled is not None
    assert len(cancelled) == 6
    assert await taking is None


async def test_a_heartbeat_that_kills_workers_does_not_hold_messages_back_for_ever(
    api: Api, entry: Entry, shop: Shop, receiver: Receiver, work: Work, rows: Rows, broken: Json
) -> None:
    await rows(
        "update webhook_deliveries set state = 'sending', crashes = $2, due_at = now() "
        "where shop_id = $1 and kind = 'heartbeat' returning 1",
        shop.id,
        queue.CRASHES_BEFORE_QUARANTINE - 1,
    )
    await work()
    (probe,) = (await deliveries(rows, shop))["heartbeat"]
    assert probe["state"] == "quarantined"
    assert not await held_back(api, broken)


async def test_of_two_workers_at_once_one_opens_it(
    api: Api, entry: Entry, shop: Shop, receiver: Receiver, rows: Rows
) -> None:
    await subscribe(api, receiver)
    receiver.answer = lambda _: Answer(500)
    await people(api, 1, 40)
    while await fan_out(entry, shop.id):
        pass
    network = ip_network("127.0.0.0/8")
    workers = [Deliverer(entry, allow_networks=[network], timeout_seconds=5, lease_seconds=10) for _ in range(2)]
    for worker in workers:
        await worker.step(shop.id)
    for worker in workers:
        await worker.settle(shop.id)
        await worker.close()
    stored = await deliveries(rows, shop)
    assert len(stored["heartbeat"]) == 1
    assert 8 < sum(row["failures"] for row in stored["customer.created"]) < 40, "both had begun, both were stopped"
