"""Imports that have bad luck: acceptance nobody heard of, races lost every time, a batch that kills its worker."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from app.access.credentials import revoke_client
from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import Connection
from app.core.errors import DatabaseUnavailable, StartOver
from app.imports import service
from app.imports.kinds import KINDS
from tests.conftest import Api, MakeApi, Rows
from tests.imports.test_imports import Work, counts, imported, people, sent


@pytest.mark.parametrize("drop", [service.forget, service.abandon])
async def test_an_accepted_file_is_not_dropped_with_the_answer(
    api: Api, entry: Entry, shop: Shop, work: Work, drop: Callable[[Connection, Shop, UUID], Awaitable[None]]
) -> None:
    accepted = await sent(api, people(3), kind="customers")
    async with entry.shop(shop.id) as (db, of):
        await drop(db, of, UUID(accepted["id"]))
    await work()
    ended = (await api.get(f"/v1/imports/{accepted['id']}")).json()
    assert (ended["state"], counts(ended)) == ("done", (3, 0, 0, 0))


async def test_a_revoked_key_ends_the_upload_and_nothing_stays(
    make_api: MakeApi, entry: Entry, shop: Shop, rows: Rows
) -> None:
    sender = await make_api(shop, "imports customers:write")

    async def body() -> AsyncIterator[bytes]:
        yield b"mobile\n" + b"13100000001\n" * 60_000
        async with entry.shop(shop.id) as (db, of):
            await revoke_client(db, of, sender.client.client_id)
        yield b"13100000001\n" * 60_000

    answer = await sender.http.post("/v1/imports", content=body(), params={"kind": "customers"})
    assert (answer.status_code, answer.json()["code"]) == (401, "credential_revoked")
    assert await rows("select 1 from imports where shop_id = $1", shop.id) == []
    assert await rows("select 1 from import_chunks where shop_id = $1", shop.id) == []


async def test_a_race_that_is_lost_every_time_costs_a_wait_and_not_the_file(
    api: Api, work: Work, shop: Shop, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(*_: Any) -> Any:
        raise StartOver

    accepted = await sent(api, people(3), kind="customers")
    with monkeypatch.context() as patched:
        patched.setitem(KINDS, "customers", replace(KINDS["customers"], apply=lose))
        patched.setattr("app.core.races._MOST_SECONDS", 0.0)
        with pytest.raises(StartOver):
            await work()
    await rows("update queued_jobs set due_at = created_at where shop_id = $1 returning 1", shop.id)
    await work()
    ended = (await api.get(f"/v1/imports/{accepted['id']}")).json()
    assert (ended["state"], counts(ended)) == ("done", (3, 0, 0, 0))


async def test_reading_again_does_not_forget_the_crashes(
    api: Api, work: Work, shop: Shop, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: Any) -> Any:
        raise DatabaseUnavailable

    await sent(api, people(2500), kind="customers")
    await rows("update imports set reached = 2 where shop_id = $1 returning 1", shop.id)
    await rows("update queued_jobs set crashes = 2 where shop_id = $1 returning 1", shop.id)
    monkeypatch.setitem(KINDS, "customers", replace(KINDS["customers"], apply=die))
    passing = count(0, 1000)
    monkeypatch.setattr("app.imports.jobs.time", SimpleNamespace(monotonic=lambda: float(next(passing))))
    with pytest.raises(DatabaseUnavailable):
        await work()
    assert await rows("select rows from imports where shop_id = $1", shop.id) == [{"rows": 2000}]
    assert await rows("select crashes from queued_jobs where shop_id = $1 and kind = 'import'", shop.id) == [
        {"crashes": 2}
    ]


async def test_a_header_of_very_many_columns_is_told_in_part(api: Api, work: Work) -> None:
    content = "mobile," + ",".join(f"c{n}" for n in range(50_000)) + "," + "x" * 500 + "\n13100000001\n"
    ended = await imported(api, work, content, kind="customers")
    assert counts(ended) == (1, 0, 0, 0)
    assert len(ended["unknown_columns"]) == 200


async def test_very_many_packed_files_in_one_take_no_time(api: Api, work: Work) -> None:
    packed = gzip.compress(b"") * 20_000 + gzip.compress(people(2).encode())
    async with asyncio.timeout(10):
        accepted = await sent(api, packed, {"Content-Encoding": "gzip"}, kind="customers")
    assert accepted["bytes"] == len(people(2).encode())
