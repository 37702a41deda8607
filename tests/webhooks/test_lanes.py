"""Workers that die, stand still or are stopped, and endpoints that hang."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.changes import jobs
from app.changes.repository import HAS_EVENTS
from app.core.db import Row
from app.touches.jobs import plan_touches, send_due
from app.webhooks import queue
from app.webhooks.jobs import fan_out
from app.webhooks.lanes import Deliverer
from tests.conftest import Api, Rows
from tests.webhooks.receiver import Answer, Receiver

Make = Callable[..., Awaitable[Any]]
MakeDeliverer = Callable[..., Deliverer]
Work = Callable[[], Awaitable[None]]


async def owe(entry: Entry, shop: Shop, people: Make, count: int, first: int = 1) -> None:
    """So many deliveries, pending."""
    await people(count, first=first, consent=False)
    await fan_out(entry, shop.id)
    async with entry.shop(shop.id) as (db, _):
        assert not await db.fetch_value(HAS_EVENTS, shop_id=shop.id)


async def claim(entry: Entry, shop: Shop, endpoint: Any, *, abandoned: bool = False, limit: int = 32) -> list[Row]:
    """What a worker does before it dies."""
    async with entry.shop(shop.id) as (db, _):
        return await queue.claim(db, shop.id, endpoint["id"], abandoned=abandoned, limit=limit, lease_seconds=30.0)


async def leases_end(rows: Rows, shop: Shop) -> None:
    """Time passes."""
    await rows(
        "update webhook_deliveries set due_at = now() where shop_id = $1 and state = 'sending' returning id", shop.id
    )


async def test_a_dead_workers_messages_are_sent_by_another_and_its_late_result_is_refused(
    entry: Entry, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, receiver: Receiver
) -> None:
    endpoint = await subscribe(receiver, "customer.created")
    await owe(entry, shop, people, 5)
    claimed = await claim(entry, shop, endpoint)
    assert len(claimed) == 5
    await work()
    assert receiver.messages == []  # another holds them
    await leases_end(rows, shop)
    await work()
    assert len(receiver.ids) == len(set(receiver.ids)) == 5
    stored = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert {(row["state"], row["attempt"], row["crashes"]) for row in stored} == {("delivered", 2, 0)}

    # SIGCONT: the first worker goes on, and says that all of them failed
    late = {"ids": [row["id"] for row in claimed], "attempts": [row["attempt"] for row in claimed]}
    told = {"states": "failed", "failed": True, "statuses": 500, "errors": "http_500", "delays": 0.0, "seconds": 1.0}
    late |= {name: [value] * 5 for name, value in told.items()} | {"attempted_at": [stored[0]["created_at"]] * 5}
    async with entry.shop(shop.id) as (db, _):
        assert await queue.write_back(db, shop.id, late) == set()
    after = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert sorted(after, key=lambda row: row["id"]) == sorted(stored, key=lambda row: row["id"])
    attempts = await rows("select * from webhook_attempts where shop_id = $1", shop.id)
    assert {(row["attempt"], row["status"]) for row in attempts} == {(2, 200)}


async def test_a_worker_that_hangs_after_sending_is_one_message_to_who_drops_repeats(
    entry: Entry,
    shop: Shop,
    rows: Rows,
    subscribe: Make,
    people: Make,
    trigger: Make,
    receiver: Receiver,
    make_deliverer: MakeDeliverer,
) -> None:
    await subscribe(receiver)
    await trigger(await people(3))
    await work_until_owed(entry, shop)
    receiver.answer = lambda _: Answer(after_seconds=60.0)
    slow, quick = make_deliverer(timeout_seconds=2.0), make_deliverer()
    await slow.step(shop.id)
    await receiver.until(3)
    # in the middle of its attempts its leases end, and another worker takes over
    receiver.answer = lambda _: Answer()
    await leases_end(rows, shop)
    await quick.step(shop.id)
    await quick.settle(shop.id)
    assert (len(receiver.ids), len(set(receiver.ids))) == (6, 3)
    ended = await rows("select state, attempts, updated_at from touches where shop_id = $1 order by id", shop.id)
    assert [(row["state"], row["attempts"]) for row in ended] == [("delivered", 2)] * 3
    await slow.settle(shop.id)  # its timeouts are told now, and refused
    assert (
        await rows("select state, attempts, updated_at from touches where shop_id = $1 order by id", shop.id) == ended
    )
    assert {row["state"] for row in await rows("select * from webhook_deliveries where shop_id = $1", shop.id)} == {
        "delivered"
    }


async def test_the_third_crash_quarantines_and_the_others_go_on(
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
    endpoint = await subscribe(receiver)
    await trigger(await people(3))
    await work_until_owed(entry, shop)
    assert len(await claim(entry, shop, endpoint)) == 3  # first crash, all together
    await leases_end(rows, shop)
    (poison,) = await claim(entry, shop, endpoint, abandoned=True)  # alone from now on
    for crash in (2, 3):
        await rows(
            "update webhook_deliveries set due_at = now() where shop_id = $1 and id = $2 returning id",
            shop.id,
            poison["id"],
        )
        await rows(
            "update webhook_deliveries set due_at = now() + interval '1 hour' "
            "where shop_id = $1 and id <> $2 returning id",
            shop.id,
            poison["id"],
        )
        if crash == 2:
            (again,) = await claim(entry, shop, endpoint, abandoned=True)
            assert (again["id"], again["state"]) == (poison["id"], "sending")
    await work()
    (row,) = await rows("select * from webhook_deliveries where shop_id = $1 and id = $2", shop.id, poison["id"])
    assert (row["state"], row["crashes"], row["last_error"]) == ("quarantined", 3, "worker_crashed")
    assert receiver.messages == []
    await leases_end(rows, shop)
    await work()
    assert len(receiver.messages) == 2
    states = await rows("select id, state, reason from touches where shop_id = $1", shop.id)
    assert {(t["id"] == poison["id"], t["state"], t["reason"]) for t in states} == {
        (True, "quarantined", "worker_crashed"),
        (False, "delivered", None),
    }
    # an operator who has mended the cause sends it again
    assert (await api.post(f"/v1/webhooks/deliveries/{poison['id']}/resends")).status_code == 202
    await work()
    (touch,) = await rows("select * from touches where shop_id = $1 and id = $2", shop.id, poison["id"])
    assert touch["state"] == "delivered"


async def work_until_owed(entry: Entry, shop: Shop) -> None:
    """Plan, decide and fan out, and deliver nothing."""
    await jobs.run_due(entry, shop.id, {"plan_touches": plan_touches}, lease_seconds=60)
    await send_due(entry, shop.id)
    await fan_out(entry, shop.id)


async def test_a_hanging_endpoint_does_not_delay_a_healthy_one(
    entry: Entry,
    shop: Shop,
    subscribe: Make,
    people: Make,
    receiver: Receiver,
    other_receiver: Receiver,
    make_deliverer: MakeDeliverer,
) -> None:
    await subscribe(receiver, "customer.created")
    await subscribe(other_receiver, "customer.created")
    receiver.answer = lambda _: Answer(after_seconds=60.0)
    deliverer = make_deliverer(timeout_seconds=3.0)
    started = time.monotonic()
    await owe(entry, shop, people, 100)
    assert await deliverer.step(shop.id) == 0
    await other_receiver.until(100, seconds=2.5)
    # and what comes while the other still hangs finds its lane at once
    await owe(entry, shop, people, 20, first=200)
    await deliverer.step(shop.id)
    await other_receiver.until(120, seconds=2.5)
    assert time.monotonic() - started < 3.0
    assert len(receiver.messages) <= 32


async def test_what_comes_to_an_endpoint_that_is_busy_uses_its_free_room(
    entry: Entry, shop: Shop, subscribe: Make, people: Make, receiver: Receiver, make_deliverer: MakeDeliverer
) -> None:
    await subscribe(receiver, "customer.created")
    receiver.answer = lambda message: Answer(after_seconds=2.0 if message is receiver.messages[0] else 0.0)
    deliverer = make_deliverer(timeout_seconds=5.0)
    await owe(entry, shop, people, 1)
    await deliverer.step(shop.id)
    await receiver.until(1)
    await owe(entry, shop, people, 3, first=10)
    await deliverer.step(shop.id)
    await receiver.until(4, seconds=1)


async def test_stopping_gives_back_what_is_under_way(
    entry: Entry,
    shop: Shop,
    rows: Rows,
    subscribe: Make,
    people: Make,
    receiver: Receiver,
    make_deliverer: MakeDeliverer,
) -> None:
    await subscribe(receiver, "customer.created")
    receiver.answer = lambda _: Answer(after_seconds=60.0)
    deliverer = make_deliverer(timeout_seconds=30.0)
    await owe(entry, shop, people, 20)
    await deliverer.step(shop.id)
    await receiver.until(1)
    started = time.monotonic()
    await deliverer.close()
    assert time.monotonic() - started < 2.5
    stored = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert {(row["state"], row["failures"], row["crashes"]) for row in stored} == {("pending", 0, 0)}
    cut = await rows("select * from webhook_attempts where shop_id = $1", shop.id)
    assert {row["error"] for row in cut} == {"interrupted"}
    assert await deliverer.step(shop.id) == 0  # and takes nothing any more
    assert len(await rows("select id from webhook_deliveries where shop_id = $1 and state = 'pending'", shop.id)) == 20


async def test_workers_side_by_side_send_each_message_once(
    entry: Entry,
    shop: Shop,
    rows: Rows,
    subscribe: Make,
    people: Make,
    receiver: Receiver,
    make_deliverer: MakeDeliverer,
) -> None:
    await subscribe(receiver, "customer.created")
    await owe(entry, shop, people, 300)
    workers = [make_deliverer() for _ in range(3)]
    async with asyncio.timeout(60):
        # As in a worker's round: on a machine that is busy for a moment, a claim is made again.
        while len(set(receiver.ids)) < 300:
            await asyncio.gather(*(worker.step(shop.id) for worker in workers))
            await asyncio.gather(*(worker.settle(shop.id) for worker in workers))
            await asyncio.sleep(0.1)
    assert len(receiver.ids) == 300
    states = await rows(
        "select state, count(*) as n from webhook_deliveries where shop_id = $1 group by state", shop.id
    )
    assert [(row["state"], row["n"]) for row in states] == [("delivered", 300)]


@pytest.mark.parametrize("count", [1, 40])
async def test_an_attempt_that_would_outlast_its_lease_is_not_begun(
    entry: Entry,
    shop: Shop,
    rows: Rows,
    subscribe: Make,
    people: Make,
    receiver: Receiver,
    make_deliverer: MakeDeliverer,
    count: int,
) -> None:
    await subscribe(receiver, "customer.created")
    await owe(entry, shop, people, count)
    deliverer = make_deliverer()
    # as if the process had stood still between the claim and the attempt, the first time
    deliverer._lease = deliverer._timeout
    await deliverer.step(shop.id)
    await asyncio.sleep(0.2)
    assert receiver.messages == []
    deliverer._lease = 30.0
    await deliverer.settle(shop.id)
    assert len(receiver.messages) == count
    assert {
        row["failures"] for row in await rows("select failures from webhook_deliveries where shop_id = $1", shop.id)
    } == {0}
