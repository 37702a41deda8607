"""Runs the migrations with the owner's login; the service's own role owns nothing."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.core.db import sqlalchemy_url
from app.tables import is_ours, metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=is_ours,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    url: str = context.config.attributes["database_url"]
    engine = create_async_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        # Two that migrate at once take turns; the lock goes with the connection.
        await connection.execute(text("select pg_advisory_lock(7205759403792)"))
        await connection.commit()
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


if not context.is_offline_mode():
    asyncio.run(_main())
