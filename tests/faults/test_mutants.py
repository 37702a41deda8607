"""The invariants are only worth something if they break when the house is broken: each mutant must be reported."""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.access.audit import Visit
from app.access.credentials import create_client
from app.access.entry import Entry
from app.access.scopes import SCOPES
from app.access.shops import Shop, create_shop
from app.changes import jobs
from app.changes.jobs import Lease, LeaseLost
from app.core.config import Settings, new_root_key
from app.core.db import Database, Statement
from app.main import create_app, open_database
from app.touches import jobs as touch_jobs
from app.webhooks import attempts, queue, signing
from tests.conftest import TEMPLATE
from tests.faults import invariants
from tests.faults.invariants import Rows
from tests.faults.receiver import Answer, Message, Receiver, receiving
from workers.house import House

MUTATED = pytest.mark.parametrize("mutated", [False, True], ids=["sound", "mutant"])


@dataclass(frozen=True)
class Scene:
    """A house on a database of its own, that may be damaged."""

    house: House
    shop: Shop
    http: httpx.AsyncClient
    rows: Rows

    @property
    def entry(self) -> Entry:
        """The house's door."""
        return self.house.entry

    async def people(self, count: int) -> list[int]:
        """New customers."""
        batch = [{"identities": [{"kind": "mobile", "value": f"139{number:08d}"}]} for number in range(count)]
        answer = await self.http.post("/v1/customers/batch", json={"customers": batch})
        return [row["customer_id"] for row in answer.json()["results"]]

    async def touch(self, people: list[int]) -> None:
        """Ask for touches."""
        await self.http.put("/v1/templates/hello", json={"category": "transactional", "body": "Hello"})
        wanted = {"template": "hello", "audience": {"customer_ids": people}}
        answer = await self.http.post("/v1/triggers/touches", json=wanted, headers={"Idempotency-Key": "once"})
        assert answer.status_code == 202, answer.text

    async def subscribe(self, receiver: Receiver) -> None:
        """To touches."""
        answer = await self.http.post("/v1/webhooks", json={"url": receiver.url(), "kinds": ["touch.requested"]})
        assert answer.status_code == 201, answer.text

    async def owe(self, receiver: Receiver, count: int) -> None:
        """So many touches, up to the point where they are owed to the receiver."""
        people = await self.people(count)
        await self.subscribe(receiver)
        await self.touch(people)
        for kind in ("jobs", "touches", "events"):
            await self.house.rounds.wake(kind, self.shop.id)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """On a copy of the migrated database."""
    place, name = os.environ["KEHU_TEST_DATABASE_URL"], f"kehu_mutant_{uuid4().hex}"
    url = urlunsplit(urlsplit(place)._replace(path=f"/{name}"))
    keeper = await asyncpg.connect(place)
    await keeper.execute(f'create database "{name}" template "{TEMPLATE}"')
    settings = Settings.model_validate(
        {
            "database_url": url,
            "redis_url": os.environ["KEHU_TEST_REDIS_URL"],
            "root_key": new_root_key(),
            "worker_queue": name,
            "outbound_allow_networks": "127.0.0.0/8",
            "outbound_timeout_seconds": 1,
            "lease_seconds": 1,
        }
    )
    service, house = create_app(settings), House(settings)
    connection = await asyncpg.connect(url)

    async def rows(sql: str, *arguments: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(sql, *arguments)]

    entry = house.entry
    shop_id = await create_shop(entry.database, entry.root, name="A shop")
    async with entry.shop(shop_id) as (db, shop):
        made = await create_client(db, shop, entry.root, name="test", scopes=frozenset(SCOPES))
    transport = httpx.ASGITransport(service, raise_app_exceptions=False)
    caller = {"Authorization": f"Bearer {made.api_key}"}
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://kehu.test", headers=caller) as http,
    ):
        yield Scene(house, shop, http, rows)
    await house.close()
    await connection.close()
    await keeper.execute(f'drop database "{name}" with (force)')
    await keeper.close()


def without(query: Statement, condition: str, instead: str = "") -> Statement:
    """The statement with a condition taken out, or weakened."""
    sql, count = re.subn(condition, instead, query.sql)
    assert count == 1, query.sql
    return query._replace(sql=sql)


@MUTATED
async def test_no_fence_on_deliveries(scene: Scene, monkeypatch: pytest.MonkeyPatch, mutated: bool) -> None:
    """A worker that slept tells what it thinks became of a message that another has delivered since."""
    if mutated:
        fence = r" and d\.attempt = t\.attempt and d\.state = 'sending'"
        monkeypatch.setattr(queue, "WRITE_BACK", without(queue.WRITE_BACK, fence))
    async with receiving() as receiver:
        await scene.owe(receiver, 3)
        (endpoint,) = await scene.rows("select id from webhook_endpoints where shop_id = $1", scene.shop.id)
        place = {"abandoned": False, "limit": 10, "lease_seconds": 0.0}
        async with scene.entry.shop(scene.shop.id) as (db, _):
            claimed = await queue.claim(db, scene.shop.id, endpoint["id"], **place)  # type: ignore[arg-type]
        await scene.house.rounds.until_idle(scene.shop.id)
        before = await invariants.written(scene.rows, scene.shop.id)
        count = len(claimed)
        told: dict[str, list[Any]] = {
            "ids": [row["id"] for row in claimed],
            "attempts": [row["attempt"] for row in claimed],
            "states": ["pending"] * count,
            "failed": [True] * count,
            "statuses": [None] * count,
            "errors": ["timeout_in_reply"] * count,
            "delays": [0.0] * count,
            "attempted_at": [None] * count,
            "seconds": [1.0] * count,
        }
        async with scene.entry.shop(scene.shop.id) as (db, _):
            await queue.write_back(db, scene.shop.id, told)
        stale = await invariants.written(scene.rows, scene.shop.id) != before
        assert stale is mutated
        found = await invariants.violations(scene.rows, scene.shop.id)
        assert bool(found) is mutated, found


@MUTATED
async def test_no_fence_on_jobs(scene: Scene, monkeypatch: pytest.MonkeyPatch, mutated: bool) -> None:
    """A worker whose job was taken over reports progress, and would plan on."""
    if mutated:
        monkeypatch.setattr(jobs, "PROGRESS", without(jobs.PROGRESS, r"attempt = (\$\d+)\b(::\w+)?", r"\1::int > 0"))
    async with scene.entry.shop(scene.shop.id) as (db, _):
        row = await jobs.enqueue(db, scene.shop.id, "rescore", {"run_id": str(uuid4()), "as_of": None})
    await scene.rows(
        "update queued_jobs set state = 'running', attempt = 2 where shop_id = $1 and id = $2 returning id",
        scene.shop.id,
        row["id"],
    )
    stale = Lease(scene.entry, scene.shop.id, row["id"], 1, {}, 1.0)
    accepted = True
    try:
        await stale.report(1, 2, {"after": 1})
    except LeaseLost:
        accepted = False
    assert accepted is mutated


@pytest.mark.parametrize("mutant", ["sound", "random id", "no unique index"])
async def test_touches_without_their_id_or_its_index(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    """The planning job runs again from its beginning, as after a restore or a lost resume point."""
    if mutant == "random id":
        monkeypatch.setattr(touch_jobs, "derived_id", lambda *_: uuid4())
    if mutant == "no unique index":
        await scene.rows("alter table touches drop constraint pk_touches")
    await scene.touch(await scene.people(5))
    for _ in range(2):
        await scene.house.rounds.wake("jobs", scene.shop.id)
        await scene.rows(
            "update queued_jobs set state = 'queued', due_at = now(), arguments = arguments - 'after' - 'planned' "
            "where shop_id = $1 and kind = 'plan_touches' returning id",
            scene.shop.id,
        )
    found = await invariants.violations(scene.rows, scene.shop.id, settled=False)
    assert ["customers touched twice" in one for one in found] == [True] * (mutant != "sound"), found


@MUTATED
async def test_shop_set_for_the_session(scene: Scene, monkeypatch: pytest.MonkeyPatch, mutated: bool) -> None:
    """The next transaction on the connection names no shop, and must see no rows."""
    if mutated:
        begin = Database._begin

        def for_the_session(self: Database, shop_id: int | None, *others: str) -> str:
            return begin(self, shop_id, *others).replace("SET LOCAL kehu.shop_id", "SET kehu.shop_id")

        monkeypatch.setattr(Database, "_begin", for_the_session)
    await scene.people(3)
    database = open_database(scene.house.settings.model_copy(update={"database_pool_size": 1}), None)
    try:
        async with database.transaction(scene.shop.id) as db:
            assert await db.fetch_value(COUNT) == 3
        async with database.transaction() as db:
            leaked = await db.fetch_value(COUNT)
    finally:
        await database.close()
    assert leaked == (3 if mutated else 0)


COUNT = Statement("select count(*) from customers", (), {})


@MUTATED
async def test_audit_off(scene: Scene, monkeypatch: pytest.MonkeyPatch, mutated: bool) -> None:
    """Calls are answered and leave no row."""
    if mutated:
        monkeypatch.setattr(Visit, "sql", lambda *_: "")
    for number in range(3):
        body = {"identities": [{"kind": "mobile", "value": f"139{number:08d}"}]}
        assert (await scene.http.post("/v1/customers", json=body)).status_code == 201
    found = await invariants.unlogged(scene.rows, scene.shop.id, 3)
    assert bool(found) is mutated, found


@MUTATED
async def test_sent_again_under_another_id(scene: Scene, monkeypatch: pytest.MonkeyPatch, mutated: bool) -> None:
    """Whether a message arrived is unknown, so it is sent again; only its id tells the receiver that it is the same."""
    if mutated:
        monkeypatch.setattr(attempts, "sign", _sign_anew)
    async with receiving() as receiver:
        await scene.owe(receiver, 3)
        receiver.behave = lambda _: Answer(cut="reset")
        await scene.house.rounds.until_idle(scene.shop.id)
        receiver.behave = lambda _: Answer()
        await scene.rows(
            "update webhook_deliveries set due_at = now() where shop_id = $1 and state = 'pending' returning id",
            scene.shop.id,
        )
        await scene.house.rounds.until_idle(scene.shop.id)
        assert len(receiver.messages) == 6
        found = receiver.wrong(await invariants.owed(scene.rows, scene.shop.id))
        assert bool(found) is mutated, found


def _sign_anew(secrets: Any, _message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    return signing.sign(secrets, uuid4().hex, timestamp, body)


async def test_a_strict_receiver_reports_what_a_deduplicating_one_forgives() -> None:
    """The receiver that the other tests trust."""
    message = Message("/hook", "one", b"", 0.0, 1)
    strict, lenient = Receiver(deduplicating=False), Receiver()
    for receiver in (strict, lenient):
        receiver.take(message)
        receiver.take(message)
    assert lenient.wrong(["one"]) == []
    assert lenient.repeats() == 1
    assert [text.split(" ")[0] for text in strict.wrong(["one"])] == ["doubled"]
    assert [text.split(" ")[0] for text in lenient.wrong(["two"])] == ["lost", "never"]
