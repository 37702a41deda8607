"""The months of `events`: made ahead of time by whoever owns the tables, as the service's role may not make any."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

MONTHS_AHEAD: Final = 24
MONTHS_BACK: Final = 36  # what is older stays in the default partition: each month is a table to plan with
FEW_MONTHS: Final = 3

_DEFAULT: Final = "events_default"
_NAME: Final = re.compile(r"events_(?:default|(\d{4})_(\d\d))")
_PARTITIONS: Final = (
    "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'events'::regclass"
)
_DEFAULT_BYTES: Final = f"select pg_relation_size('{_DEFAULT}')"


class Outlook(NamedTuple):
    """How far the months reach, and what found none."""

    last: date | None  # the first day of the last month in an unbroken row that begins with this one
    months_ahead: int
    waiting_bytes: int


def is_partition(name: str) -> bool:
    """Whether a table is a part of `events`."""
    return _NAME.fullmatch(name) is not None


async def make_months(connection: Any, moment: datetime) -> list[str]:
    """Make the months that are missing until two years from now, and move events there that waited for them.

    The first one is this month, or the month of the oldest event of the last three years that has none. All or nothing;
    twice is harmless, and two at once take turns.

    Args:
        connection: an asyncpg connection of the owner's.
    Returns: the names of the new partitions.
    """
    async with connection.transaction():
        await connection.execute("set local lock_timeout = '4s'")
        await connection.execute("lock table events in share update exclusive mode")
        # Forced, row security hides what waits even from the owner. Until the commit, nobody else reaches it at all.
        await connection.execute(f"alter table {_DEFAULT} no force row level security")
        this = _month(moment)
        there = await _names(connection)
        waiting = await _waiting(connection, since=_later(this, -MONTHS_BACK))
        wanted = _months(min([this, *waiting]), _later(this, MONTHS_AHEAD))
        made = [month for month in wanted if _name(month) not in there]
        for month in made:
            await _make(connection, month, moving=month in waiting)
        if not await connection.fetchval(f"select exists (select from {_DEFAULT})"):  # noqa: S608 a name of our own
            await connection.execute(f"truncate {_DEFAULT}")  # so that its size says that nothing waits
        await connection.execute(f"alter table {_DEFAULT} force row level security")
    return [_name(month) for month in made]


async def look(connection: Any, moment: datetime) -> Outlook:
    """How things stand. Needs no right to read events: of the default partition it knows the size only."""
    there = await _names(connection)
    last, following = None, _month(moment)
    while _name(following) in there:
        last, following = following, _later(following)
    ahead = 0 if last is None else (last.year - moment.year) * 12 + last.month - moment.month
    return Outlook(last, ahead, await connection.fetchval(_DEFAULT_BYTES))


async def _make(connection: Any, month: date, *, moving: bool) -> None:
    """Beside the table, and attached when it is full: to make it inside would lock everybody out."""
    name, start, end = _name(month), _instant(month), _instant(_later(month))
    await connection.execute(f"create table {name} (like events including all)")
    if moving:
        await connection.execute(
            f"with moved as (delete from {_DEFAULT} "  # noqa: S608 names of our own
            f"where occurred_at >= '{start}' and occurred_at < '{end}' returning *) "
            f"insert into {name} select * from moved"
        )
    await connection.execute(f"alter table {name} enable row level security")
    await connection.execute(f"alter table {name} force row level security")
    await connection.execute(f"alter table events attach partition {name} for values from ('{start}') to ('{end}')")


async def _waiting(connection: Any, *, since: date) -> set[date]:
    """The months of events in the default partition."""
    rows = await connection.fetch(
        "select distinct date_trunc('month', occurred_at at time zone 'UTC')::date as month "  # noqa: S608 our names
        f"from {_DEFAULT} where occurred_at >= '{_instant(since)}'"
    )
    return {row["month"] for row in rows}


async def _names(connection: Any) -> set[str]:
    return {row["relname"] for row in await connection.fetch(_PARTITIONS)}


def _months(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first = _later(first)


def _month(moment: datetime) -> date:
    return moment.astimezone(UTC).date().replace(day=1)


def _later(month: date, count: int = 1) -> date:
    years, months = divmod(month.month - 1 + count, 12)
    return date(month.year + years, months + 1, 1)


def _name(month: date) -> str:
    return f"events_{month:%Y_%m}"


def _instant(month: date) -> str:
    return f"{month.isoformat()} 00:00:00+00"
