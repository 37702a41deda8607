"""Brings a database to the newest schema, and its months ahead of time; safe to run twice and by two at once."""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config

from app.core import clock
from app.core.db import connect_arguments
from app.events.partitions import make_months

ROOT = Path(__file__).resolve().parent.parent


def config(database_url: str) -> Config:
    """Alembic's configuration for one database."""
    settings = Config(str(ROOT / "alembic.ini"))
    settings.set_main_option("script_location", str(ROOT / "migrations"))
    settings.attributes["database_url"] = database_url
    return settings


def upgrade(database_url: str) -> list[str]:
    """Run what is missing, as the login that owns the tables. Returns the partitions that were made."""
    command.upgrade(config(database_url), "head")
    return asyncio.run(_make_months(database_url))


async def _make_months(database_url: str) -> list[str]:
    connection = await asyncpg.connect(**connect_arguments(database_url))
    try:
        return await make_months(connection, clock.now())
    finally:
        await connection.close()
