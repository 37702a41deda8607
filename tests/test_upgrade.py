"""Upgrades of a database with rows in it, by an owner who is no superuser: row security is forced upon them too."""

import asyncio
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import orjson
from alembic import command

from app.core.db import ROLE
from app.migrate import config


async def test_scores_are_asked_for_anew_when_they_are_rebuilt(database_url: str) -> None:
    owner = f"owner_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"create role {owner} login password 'made up' createrole")
    await admin.execute(f"grant {ROLE} to {owner} with admin option")
    await admin.execute(f'create database "{owner}" owner {owner}')
    parts = urlsplit(database_url)
    url = urlunsplit(parts._replace(netloc=f"{owner}:made%20up@{parts.hostname}:{parts.port}", path=f"/{owner}"))
    try:
        await asyncio.to_thread(command.upgrade, config(url), "0013")
        old = await asyncpg.connect(url)
        await old.execute(
            "insert into shops (id, name, timezone, settings, created_at) "
            "values (7, 'Old', 'Asia/Shanghai', $1, now())",
            '{"tiers": {"vip_share": 0.2}, "sensitive_attributes": true}',
        )
        await old.close()
        await asyncio.to_thread(command.upgrade, config(url), "head")
        new = await asyncpg.connect(url)
        async with new.transaction():
            await new.execute("set local kehu.shop_id = '7'")
            (job,) = await new.fetch("select * from queued_jobs")
        kept = await new.fetchval("select settings from shops where id = 7")
        await new.close()
    finally:
        await admin.execute(f'drop database "{owner}" with (force)')
        await admin.close()
    assert (job["shop_id"], job["kind"], job["state"]) == (7, "rescore", "queued")
    assert set(orjson.loads(job["arguments"])) == {"run_id", "as_of"}
    assert orjson.loads(kept) == {"sensitive_attributes": True}
