"""Fills one shop with millions of customers on all cores, keeps what it filled, and goes on where it was broken off.

People and orders go in by COPY and by SQL as `population` writes them; stats, what a run measures, and scores are made
by the service's own statements of a full run, in its chunks, by several processes at once. While it loads, indexes are
gone, commits do not wait and the log says only what recovery needs; afterwards the catalogue must read as migrated,
word for word.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
import uvloop

from app.access.entry import Entry
from app.access.shops import Shop, Shops
from app.attributes import service as attributes
from app.attributes.schemas import AttributeWrite
from app.cli.console import say
from app.core import clock
from app.core.config import Settings, decode_root_key, new_root_key
from app.core.crypto import RootKey
from app.core.db import Connection
from app.core.ids import new_id
from app.embedded.errors import EmbeddedError
from app.embedded.home import write_private
from app.main import open_database
from app.refresh import rescore
from app.refresh.rescore import CHUNK as SCORED_AT_ONCE
from app.scoring import fitting, measuring, runs
from app.scoring import repository as scores
from app.scoring.measuring import Yardstick
from app.tags import repository as tags
from benchmarks import population, stage
from benchmarks.measure import Plan
from benchmarks.population import People
from benchmarks.stage import Stage, Tenant

ORDERS_EACH: Final = 2
TAGS: Final = 20
RARE_TAG: Final = "rare"  # a hundred people carry it
_BOOK: Final = "size.json"
_ORDERS_AT_ONCE: Final = 200_000
_TELL_SECONDS: Final = 15.0
_TIMEOUT_SECONDS: Final = 3600.0  # the cut points of ten million people in one statement, on a busy machine
_LOADING: Final = {
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "synchronous_commit": "off",
    "maintenance_work_mem": "1GB",
    "autovacuum": "off",
}
# Sorting a table's rows for its indexes once is quicker than finding the place of each.
_PEOPLE: Final = ("customers", "identities", "vault.person_keys")
_BOUGHT: Final = ("orders", "refunds")
_LISTED: Final = (
    "ix_customer_stats_last_on",
    "ix_customer_stats_active_on",
    "ix_customer_stats_since_on",
    "ix_customer_scores_tier",
    "ix_customer_scores_cycle_turns_on",
    "ix_tier_changes_customer",
    "ix_stage_changes_customer",
)
_SCORED: Final = (
    "customer_stats",
    "customer_scores",
    "customer_predictions",
    "customer_totals",
    "score_runs",
    "score_models",
    "tier_changes",
    "stage_changes",
)

_CATALOGUE: Final = """
    select c.oid::regclass::text as of_table, i.indexrelid::regclass::text as name,
           coalesce(pg_get_constraintdef(k.oid), '') as held_by, pg_get_indexdef(i.indexrelid) as definition,
           coalesce(quote_ident(k.conname), '') as constraint_name, i.indisvalid as is_valid
    from pg_index i
    join pg_class c on c.oid = i.indrelid
    join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'vault')
    left join pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u')
    where c.relkind = 'r' and not c.relispartition
    order by 1, k.oid is null, 2
"""
_COLUMNS: Final = """
    select a.attrelid::regclass::text as of_table, a.attname, format_type(a.atttypid, a.atttypmod) as type,
           a.attnotnull, c.reloptions::text as options, c.relpersistence::text as persistence,
           c.relrowsecurity, c.relforcerowsecurity
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid and c.relkind = 'r' and not c.relispartition
    join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'vault')
    where a.attnum > 0 and not a.attisdropped
    order by 1, a.attnum
"""
# What is read most comes last, so that it stays.
_READ: Final = (
    "identities",
    "customer_attributes",
    "customer_tags",
    "customer_stats",
    "customer_scores",
    "vault.person_keys",
    "customers",
)
_WARM: Final = """
    select pg_prewarm(c.oid)
    from unnest($1::text[]) with ordinality as t (name, place)
    join pg_class c on c.oid = t.name::regclass
        or c.oid in (select indexrelid from pg_index where indrelid = t.name::regclass)
    order by place
"""
# One in twenty carries a tag, one in four hundred two; tags are as unlike in size as they are in shops.
_TAGGED: Final = """
    insert into customer_tags
        (shop_id, customer_id, tag_id, origin_customer_id, source, actor, assigned_at, valid_until)
    select distinct on (n, tag_id) $1::bigint, $2::bigint + n, tag_id, $2::bigint + n, 'manual', 'benchmark',
           $4::timestamptz - n % 1000 * interval '1 day',
           case when n % 200 = 0 then $4::timestamptz + interval '3 years' end
    from (
        select n * 20 as n, ($5::bigint[])[1 + floor($6::int * power(random(), 3))::int] as tag_id
        from generate_series(0, ($3::int - 1) / 20) as n
        union all
        select n * 400, ($5::bigint[])[1 + n % $6::int] from generate_series(0, ($3::int - 1) / 400) as n
        union all
        select n * ($3::int / 100), $7::bigint from generate_series(0, 99) as n
    ) as t
    order by n, tag_id
"""
# One in ten has a level and a number of visits.
_ATTRIBUTED: Final = """
    insert into customer_attributes
        (shop_id, origin_customer_id, name, customer_id, text_value, number_value, told_at, source)
    select $1::bigint, $2::bigint + n, v.name, $2::bigint + n, v.text_value, v.number_value, $4::timestamptz,
           'benchmark'
    from (
        select n * 10 + 3 as n, random() as draw, floor(1000 * power(random(), 4)) as visits
        from generate_series(0, ($3::int - 4) / 10) as n
    ) as t
    cross join lateral (
        values ('level', case when draw < 0.005 then 'gold' when draw < 0.2 then 'silver' else 'bronze' end, null),
               ('visits', null, visits)
    ) as v (name, text_value, number_value)
"""


@dataclass(slots=True)
class Book:
    """What the directory holds; `done` names the steps that are finished, with the seconds that each took."""

    customers: int
    root_key: str
    end: str
    shop_id: int = 0
    first: int = 0
    catalogue: dict[str, Any] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)

    @property
    def people(self) -> People:
        """Who is there."""
        return People(self.first, self.customers)


@dataclass(frozen=True, slots=True)
class Hand:
    """A process that helps: its own connections and its own door."""

    runner: asyncio.Runner
    owner: Any
    entry: Entry
    book: Book


def root_key(book: Book) -> RootKey:
    """The installation's key."""
    return RootKey(decode_root_key(book.root_key))


@contextmanager
def filled(plan: Plan, customers: int) -> Iterator[tuple[Stage, Tenant, Book]]:
    """A shop with so many customers on servers that have just started; loaded only where it is not there already."""
    with _directory(plan) as directory:
        book = _read(directory, customers)
        if "settle" not in book.done:
            with stage.at(directory, book.root_key) as place:
                place.run(lambda: _open(place, directory, book))
            with stage.at(directory, book.root_key) as place:
                _fill(place, directory, book)
        with stage.at(directory, book.root_key, _serving()) as place:
            yield place, place.run(lambda: place.enter_shop(book.shop_id)), book


def cool(place: Stage) -> None:
    """Let the kernel forget the database's files; the server that has just started knows none of them yet."""
    for path in (place.directory / "postgres" / "base").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def warm(place: Stage) -> None:
    """Bring into Postgres' memory what lists and lookups read, as it is there after a day of them."""
    say("warming up ...")
    async with place.owner() as owner:
        await owner.execute("create extension if not exists pg_prewarm")
        await owner.fetch(_WARM, list(_READ))
        await owner.execute("drop extension pg_prewarm")


async def tidy(place: Stage, book: Book) -> None:
    """Take away whoever a measurement created: they have no stats yet, so that a first page of them costs less."""
    async with place.owner() as owner:
        await owner.execute("truncate customer_changes, domain_events")
        for table, column in (("identities", "customer_id"), ("vault.person_keys", "customer_id"), ("customers", "id")):
            await owner.execute(
                f"delete from {table} where shop_id = $1 and {column} >= $2",  # noqa: S608 names of our own
                book.shop_id,
                book.first + book.customers,
            )
            await owner.execute(f"vacuum {table}")


def _fill(place: Stage, directory: Path, book: Book) -> None:
    steps: dict[str, Callable[[], None]] = {
        "people": lambda: _people(place, book),
        "orders": lambda: _orders(place, book),
        "tags": lambda: place.run(lambda: _tags(place, book)),
        "attributes": lambda: place.run(lambda: _attributes(place, book)),
        "scores": lambda: _scores(place, book),
        "settle": lambda: place.run(lambda: _settle(place, book)),
    }
    for name, step in steps.items():
        if name in book.done:
            continue
        say(f"{name} ...")
        begun = time.monotonic()
        step()
        book.done[name] = round(time.monotonic() - begun, 1)
        _write(directory, book)
        say(f"{name}: {book.done[name]:,.0f} s")


async def _open(place: Stage, directory: Path, book: Book) -> None:
    """A shop, the catalogue as migrated, and settings that count from the next start."""
    if not book.shop_id:
        book.shop_id = (await place.open_shop("size")).shop.id
        async with place.owner() as owner:
            book.first = await population.first_number(owner, book.customers)
            book.catalogue = await _catalogue(owner)
        _write(directory, book)
    async with place.owner() as owner:
        for name, value in _LOADING.items():
            await owner.execute(f"alter system set {name} = '{value}'")


def _people(place: Stage, book: Book) -> None:
    place.run(lambda: _clear(place, book, _PEOPLE))
    numbers = _cut(range(book.customers), population.CHUNK)
    _share_out(place, book, _copy_people, [(part,) for part in numbers], "people", book.customers)
    place.run(lambda: _index(place, book))


def _orders(place: Stage, book: Book) -> None:
    place.run(lambda: _clear(place, book, _BOUGHT))
    count = ORDERS_EACH * book.customers
    numbers = _cut(range(book.customers), _ORDERS_AT_ONCE // ORDERS_EACH)
    tasks = [(part, 2 * place_of / len(numbers) - 1) for place_of, part in enumerate(numbers)]
    _share_out(place, book, _add_orders, tasks, "orders", count)

    async def refunds() -> None:
        async with place.owner() as owner:
            await population.add_refunds(owner, book.shop_id)

    place.run(refunds)
    place.run(lambda: _index(place, book))


async def _tags(place: Stage, book: Book) -> None:
    async with place.owner() as owner:
        await owner.execute("truncate customer_tags, tags")
    names = [f"tag {number}" for number in range(TAGS)]
    async with place.entry() as entry, entry.shop(book.shop_id) as (db, shop):
        await tags.make(db, shop.id, [*names, RARE_TAG], clock.now())
        ids = await tags.named(db, shop.id, [*names, RARE_TAG])
    common, end = [ids[name] for name in names], datetime.fromisoformat(book.end)
    async with place.owner() as owner:
        await owner.execute("select setseed(0.1)")
        await owner.execute(_TAGGED, book.shop_id, book.first, book.customers, end, common, TAGS, ids[RARE_TAG])


async def _attributes(place: Stage, book: Book) -> None:
    async with place.owner() as owner:
        await owner.execute("truncate customer_attributes, attribute_types")
    level = AttributeWrite(type="choice", class_="public", allowed_values=["gold", "silver", "bronze"])
    async with place.entry() as entry, entry.shop(book.shop_id) as (db, shop):
        await attributes.declare(db, shop, "level", level)
        await attributes.declare(db, shop, "visits", AttributeWrite(type="integer", class_="public"))
    async with place.owner() as owner:
        await owner.execute("select setseed(0.2)")
        await owner.execute(_ATTRIBUTED, book.shop_id, book.first, book.customers, datetime.fromisoformat(book.end))


def _scores(place: Stage, book: Book) -> None:
    """The full run: everybody's stats, what is measured, everybody's scores; events as if they had been carried off."""
    run_id = new_id()

    async def clear() -> None:
        async with place.owner() as owner:
            await owner.execute(f"truncate {', '.join(_SCORED)}, domain_events")
            for name in _LISTED:
                await owner.execute(f"drop index if exists {name}")
            await owner.execute("analyze customers, orders, refunds")

    place.run(clear)
    chunks = _cut(range(book.first, book.first + book.customers), SCORED_AT_ONCE)
    place.run(lambda: _open_run(place, book, run_id))
    _share_out(place, book, _add_stats, [(part, run_id) for part in chunks], "stats", book.customers)
    begun = time.monotonic()
    place.run(lambda: _publish(place, book, run_id))
    say(f"cut points and model: {time.monotonic() - begun:,.1f} s")
    _share_out(place, book, _score, [(part,) for part in chunks], "scores", book.customers)

    async def tidy() -> None:
        async with place.owner() as owner:
            await owner.execute("truncate domain_events, customer_changes")

    place.run(tidy)
    place.run(lambda: _index(place, book))


async def _settle(place: Stage, book: Book) -> None:
    """The schema as migrated, the settings as they were, statistics and visibility maps as they come with time."""
    async with place.owner() as owner:
        if await _catalogue(owner) != book.catalogue:
            raise EmbeddedError("the schema is not as the migrations made it; empty the directory and fill it anew")
        await owner.execute("vacuum (analyze, parallel 2)")
        for name in _LOADING:
            await owner.execute(f"alter system reset {name}")
        await owner.execute("checkpoint")


# --- what the hands do ----------------------------------------------------------------------------------------------


async def _copy_people(hand: Hand, numbers: range) -> int:
    shop = await hand.entry.shops.get(hand.book.shop_id)
    end = datetime.fromisoformat(hand.book.end)
    await population.copy_people(hand.owner, shop.id, population.sealed(shop.keys), hand.book.first, numbers, end)
    return len(numbers)


async def _add_orders(hand: Hand, numbers: range, seed: float) -> int:
    end = datetime.fromisoformat(hand.book.end)
    await population.add_orders(hand.owner, hand.book.shop_id, hand.book.people, numbers, ORDERS_EACH, end, seed)
    return ORDERS_EACH * len(numbers)


async def _add_stats(hand: Hand, customers: range, run_id: UUID) -> int:
    async with hand.entry.shop(hand.book.shop_id) as (db, shop):
        await db.execute(scores.PLAN_FOR_MANY)
        await measuring.add_stats(db, shop, customers, await _yardstick(db, shop, run_id))
    return len(customers)


async def _score(hand: Hand, customers: range) -> int:
    async with hand.entry.shop(hand.book.shop_id) as (db, shop):
        await db.execute(scores.PLAN_FOR_MANY)
        await measuring.score(db, shop, customers, await measuring.hold_published(db, shop, "run"))
    return len(customers)


async def _open_run(place: Stage, book: Book, run_id: UUID) -> None:
    async with place.entry() as entry, entry.shop(book.shop_id) as (db, shop):
        await rescore.open_run(db, shop, run_id, None)


async def _publish(place: Stage, book: Book, run_id: UUID) -> None:
    database = open_database(_patient(place.settings), None)
    root = RootKey(place.settings.root_key_bytes)
    try:
        async with Entry(database, root, Shops(database, root)).shop(book.shop_id) as (db, shop):
            yardstick = await _yardstick(db, shop, run_id)
            found, question = await rescore.ask(db, shop, yardstick, live=True)
            await rescore.publish(db, shop, yardstick, found, fitting.answer(question), live=True)
    finally:
        await database.close()


async def _yardstick(db: Connection, shop: Shop, run_id: UUID) -> Yardstick:
    row = await db.fetch_one(runs.GET_RUN, shop_id=shop.id, id=run_id)
    assert row is not None  # noqa: S101 opened before anybody is measured
    return measuring.of_run(row, None)


# --- many processes -------------------------------------------------------------------------------------------------

_hand: Hand | None = None


def _share_out(
    place: Stage,
    book: Book,
    work: Callable[..., Coroutine[Any, Any, int]],
    tasks: Sequence[tuple[Any, ...]],
    what: str,
    total: int,
) -> None:
    """All tasks, by one process more than there are cores: while one waits for Postgres another seals."""
    done, begun, told = 0, time.monotonic(), time.monotonic()
    book_without_schema = Book(book.customers, book.root_key, book.end, book.shop_id, book.first)
    with ProcessPoolExecutor(
        (os.cpu_count() or 1) + 1,
        mp_context=get_context("spawn"),
        initializer=_lend,
        initargs=(place.settings, place.owner_url, book_without_schema),
    ) as hands:
        for future in as_completed([hands.submit(_work, work, task) for task in tasks]):
            done += future.result()
            if (now := time.monotonic()) - told > _TELL_SECONDS:
                told, rate = now, done / (now - begun)
                say(f"  {done:,} of {total:,} {what}, {rate:,.0f} a second, {(total - done) / rate / 60:.1f} min left")
    say(f"  {total:,} {what}, {total / (time.monotonic() - begun):,.0f} a second")


def _lend(settings: Settings, owner_url: str, book: Book) -> None:
    """What each process begins with."""
    global _hand
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    database = open_database(_patient(settings), None)
    root = RootKey(settings.root_key_bytes)
    owner = runner.run(asyncpg.connect(owner_url, command_timeout=_TIMEOUT_SECONDS))
    _hand = Hand(runner, owner, Entry(database, root, Shops(database, root)), book)


def _work(work: Callable[..., Coroutine[Any, Any, int]], task: tuple[Any, ...]) -> int:
    assert _hand is not None  # noqa: S101 made when the process began
    return _hand.runner.run(work(_hand, *task))


def _patient(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_statement_timeout_seconds": _TIMEOUT_SECONDS})


def _serving() -> dict[str, str]:
    """What a server of this size is given: three fifths of the memory, and room for the log.

    With the 1 GB that Postgres has by default, batches of new customers fill it with images of pages in seconds, and
    each checkpoint that this asks for makes every page be logged whole again.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"shared_buffers": f"{memory * 3 // 5 >> 20}MB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}


def _cut(numbers: range, size: int) -> list[range]:
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


# --- the schema -----------------------------------------------------------------------------------------------------


async def _catalogue(owner: Any) -> dict[str, Any]:
    """Every index, constraint and column of our tables as the catalogue tells it; partitions come with time."""
    return {
        "indexes": [dict(row) for row in await owner.fetch(_CATALOGUE)],
        "columns": [dict(row) for row in await owner.fetch(_COLUMNS)],
    }


async def _clear(place: Stage, book: Book, names: Sequence[str]) -> None:
    """Empty these tables and take their indexes away."""
    async with place.owner() as owner:
        await owner.execute(f"truncate {', '.join(names)}")
        there = {row["name"] for row in await owner.fetch(_CATALOGUE)}
        for index in book.catalogue["indexes"]:
            if index["of_table"] in names and index["name"] in there:
                if index["held_by"]:
                    await owner.execute(f"alter table {index['of_table']} drop constraint {index['constraint_name']}")
                else:
                    await owner.execute(f"drop index {index['name']}")


async def _index(place: Stage, book: Book) -> None:
    """Make every index that is missing, keys first."""
    async with place.owner() as owner:
        there = {row["name"] for row in await owner.fetch(_CATALOGUE)}
        for index in book.catalogue["indexes"]:
            if index["name"] in there:
                continue
            begun = time.monotonic()
            if index["held_by"]:
                await owner.execute(
                    f"alter table {index['of_table']} add constraint {index['constraint_name']} {index['held_by']}"
                )
            else:
                await owner.execute(index["definition"])
            say(f"  {index['name']}: {time.monotonic() - begun:,.1f} s")


# --- the book -------------------------------------------------------------------------------------------------------


@contextmanager
def _directory(plan: Plan) -> Iterator[Path]:
    if plan.keep is None:
        with stage.workplace(plan) as directory:
            yield directory
    else:
        plan.keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield plan.keep


def _read(directory: Path, customers: int) -> Book:
    file = directory / _BOOK
    if not file.exists():
        end = datetime.now(UTC).replace(microsecond=0)
        return Book(customers, new_root_key(), end.isoformat())
    book = Book(**orjson.loads(file.read_bytes()))
    if book.customers != customers:
        raise EmbeddedError(f"{directory} holds {book.customers:,} customers; name another directory or that number")
    return book


def _write(directory: Path, book: Book) -> None:
    write_private(directory / _BOOK, orjson.dumps(asdict(book)).decode())
