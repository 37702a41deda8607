"""The SQL of merging: records are locked in the order of their numbers, and rows follow in one statement."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam as p
from sqlalchemy import or_, select, text

from app.core.db import Connection, Row, Rows, Statement, columns, statement
from app.core.persons import rows_about_people
from app.core.schema import metadata
from app.customers.models import merge_conflicts, merges
from app.customers.records import COLUMNS

_NAMES: Final = ", ".join(COLUMNS)
_TOLD: Final = f"{_NAMES}, told_at, told_by, told"
_ARRAYS: Final = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in COLUMNS.items())
PROFILE_ARRAYS: Final = ("ids", "told", *COLUMNS)
ANSWERING_ARRAYS: Final = ("ids", "members", "merged_at", "told", *COLUMNS)
EDGE_ARRAYS: Final = ("ids", "customer_ids", "other_ids", "causes", "kinds")
CONFLICT_ARRAYS: Final = ("ids", "customer_ids", "other_ids", "reasons", "kinds")
DAY: Final = timedelta(days=1)

# The lock of an upsert that changes nothing; the first of a shop makes the row.
PASS_GATE = statement(
    text(
        "insert into merge_gates (shop_id) values (:shop_id) "
        "on conflict (shop_id) do update set shop_id = excluded.shop_id"
    )
)
BE_BRIEF = statement(text("set local lock_timeout = '100ms'"))
BE_PATIENT = statement(text("set local lock_timeout to default"))
ANSWERING = statement(
    text(
        """
        select id, coalesce(merged_into, id) as owner from customers
        where shop_id = :shop_id and id = any(cast(:ids as bigint[]))
        """
    )
)
# Everyone who writes for a record holds it, and everyone who changes who answers for it locks it: sorted, so that two
# who want the same records wait in one order.
_RECORDS: Final = """
    select c.*, k.wrapped
    from customers c
    join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.id
    where c.shop_id = :shop_id
        and (c.id = any(cast(:owners as bigint[])) or c.merged_into = any(cast(:owners as bigint[])))
    order by c.id
"""
RECORDS = statement(text(_RECORDS))
LOCK = statement(text(f"{_RECORDS} for update of c"))
MEMBERS = statement(
    text(
        """
        select id from customers
        where shop_id = :shop_id
            and (id = any(cast(:owners as bigint[])) or merged_into = any(cast(:owners as bigint[])))
        """
    )
)
HELD = statement(
    text(
        """
        select kind, scope, value_hash, customer_id, origin_customer_id, first_seen_at, last_seen_at, verified_at
        from identities where shop_id = :shop_id and customer_id = any(cast(:owners as bigint[]))
        """
    )
)
EDGES = statement(
    text(
        """
        select id, customer_id, other_id, merged_at, reversed_at from merges
        where shop_id = :shop_id and customer_id = any(cast(:members as bigint[]))
            and other_id = any(cast(:members as bigint[]))
        order by id
        """
    )
)
DISMISSED = statement(
    text(
        """
        select customer_id, other_id from merge_conflicts
        where shop_id = :shop_id and state = 'dismissed' and customer_id = any(cast(:members as bigint[]))
            and other_id = any(cast(:members as bigint[]))
        """
    )
)

ADD_EDGES = statement(
    text(
        """
        insert into merges (shop_id, id, customer_id, other_id, cause, identity_kind, actor, merged_at)
        select :shop_id, id, customer_id, other_id, cause, kind, :actor, :moment
        from unnest(cast(:ids as uuid[]), cast(:customer_ids as bigint[]), cast(:other_ids as bigint[]),
                    cast(:causes as text[]), cast(:kinds as text[])) as t (id, customer_id, other_id, cause, kind)
        """
    )
)
REVERSE = statement(
    text(
        """
        update merges set reversed_at = :moment, reversed_by = :actor
        where shop_id = :shop_id and id = :id and reversed_at is null
        """
    )
)
GET_EDGE = statement(select(merges).where(merges.c.shop_id == p("shop_id"), merges.c.id == p("id")))
EDGES_OF = statement(
    select(merges)
    .where(
        merges.c.shop_id == p("shop_id"),
        or_(
            merges.c.customer_id == text("any(cast(:members as bigint[]))"),
            merges.c.other_id == text("any(cast(:members as bigint[]))"),
        ),
    )
    .order_by(merges.c.merged_at.desc(), merges.c.id.desc())
)

# A record that is to be one of several: what it was told is kept apart from what all of them say.
SAVE_OWN = statement(
    text(
        f"""
        insert into own_profiles (shop_id, customer_id, {_TOLD})
        select shop_id, id, {_TOLD} from customers where shop_id = :shop_id and id = any(cast(:ids as bigint[]))
        on conflict do nothing
        """  # noqa: S608 column names of our own
    )
)
OWN = statement(
    text(
        """
        select o.*, k.wrapped
        from own_profiles o
        join vault.person_keys k on k.shop_id = o.shop_id and k.customer_id = o.customer_id
        where o.shop_id = :shop_id and o.customer_id = any(cast(:ids as bigint[]))
        order by o.customer_id
        """
    )
)
PUT_OWN = statement(
    text(
        f"""
        update own_profiles o set told = t.told, {", ".join(f"{name} = t.{name}" for name in COLUMNS)}
        from unnest(cast(:ids as bigint[]), cast(:told as jsonb[]), {_ARRAYS}) as t (id, told, {_NAMES})
        where o.shop_id = :shop_id and o.customer_id = t.id
        """  # noqa: S608 column names of our own
    )
)
# Alone again: as it was told, and nothing else.
RESTORE = statement(
    text(
        f"""
        update customers c set
            {", ".join(f"{name} = o.{name}" for name in (*COLUMNS, "told_at", "told_by", "told"))},
            merged_into = null, members = 1, merged_at = null, version = c.version + 1, updated_at = :moment
        from own_profiles o
        where c.shop_id = :shop_id and c.id = any(cast(:ids as bigint[]))
            and o.shop_id = c.shop_id and o.customer_id = c.id
        """  # noqa: S608 column names of our own
    )
)
DROP_OWN = statement(
    text("delete from own_profiles where shop_id = :shop_id and customer_id = any(cast(:ids as bigint[]))")
)
SET_ANSWERING = statement(
    text(
        f"""
        update customers c set
            {", ".join(f"{name} = t.{name}" for name in COLUMNS)}, told = t.told,
            merged_into = null, members = t.members, merged_at = t.merged_at, version = c.version + 1,
            updated_at = :moment
        from unnest(cast(:ids as bigint[]), cast(:members as int[]), cast(:merged_at as timestamptz[]),
                    cast(:told as jsonb[]), {_ARRAYS}) as t (id, members, merged_at, told, {_NAMES})
        where c.shop_id = :shop_id and c.id = t.id
        """  # noqa: S608 column names of our own
    )
)
SET_MERGED = statement(
    text(
        """
        update customers c set merged_into = t.owner, members = 1, merged_at = null
        from unnest(cast(:ids as bigint[]), cast(:owners as bigint[])) as t (id, owner)
        where c.shop_id = :shop_id and c.id = t.id and c.merged_into is distinct from t.owner
        """
    )
)

# Also where they meet a settled pair again: what was dismissed stays so, what was merged and taken apart is open anew.
PUT_CONFLICTS = statement(
    text(
        """
        insert into merge_conflicts as k
            (shop_id, id, customer_id, other_id, reason, identity_kind, first_at, last_at)
        select :shop_id, id, customer_id, other_id, reason, kind, :moment, :moment
        from unnest(cast(:ids as uuid[]), cast(:customer_ids as bigint[]), cast(:other_ids as bigint[]),
                    cast(:reasons as text[]), cast(:kinds as text[])) as t (id, customer_id, other_id, reason, kind)
        order by customer_id, other_id
        on conflict (shop_id, customer_id, other_id) do update set
            state = case when k.state = 'merged' then 'open' else k.state end,
            reason = excluded.reason, identity_kind = excluded.identity_kind, last_at = excluded.last_at
        where k.state = 'merged' or k.last_at < :day_ago
        """
    )
)
SETTLE_CONFLICTS = statement(
    text(
        """
        update merge_conflicts k set state = 'merged', decided_at = :moment, decided_by = :actor
        from unnest(cast(:members as bigint[]), cast(:owners as bigint[])) as one (id, owner),
             unnest(cast(:members as bigint[]), cast(:owners as bigint[])) as other (id, owner)
        where k.shop_id = :shop_id and k.customer_id = any(cast(:members as bigint[])) and k.state <> 'merged'
            and k.customer_id = one.id and k.other_id = other.id and one.owner = other.owner
        """
    )
)
GET_CONFLICT = statement(
    select(merge_conflicts)
    .where(merge_conflicts.c.shop_id == p("shop_id"), merge_conflicts.c.id == p("id"))
    .with_for_update()
)
LIST_CONFLICTS = statement(
    select(merge_conflicts)
    .where(
        merge_conflicts.c.shop_id == p("shop_id"),
        merge_conflicts.c.state == p("state"),
        merge_conflicts.c.id > p("after"),
    )
    .order_by(merge_conflicts.c.id)
    .limit(p("limit"))
)
DISMISS = statement(
    text(
        """
        update merge_conflicts set state = 'dismissed', decided_at = :moment, decided_by = :actor
        where shop_id = :shop_id and id = :id
        """
    )
)


async def pass_gate(db: Connection, shop_id: int) -> None:
    """Wait until nobody else in the shop changes who belongs to whom. Before any other lock is taken."""
    await db.execute(PASS_GATE, shop_id=shop_id)


async def be_brief(db: Connection) -> None:
    """From here on rather lose a race than wait long for a lock."""
    await db.execute(BE_BRIEF)


async def be_patient(db: Connection) -> None:
    """Wait for locks again as usual."""
    await db.execute(BE_PATIENT)


async def records(db: Connection, shop_id: int, owners: Collection[int], *, lock: bool) -> list[Row]:
    """All records of those who answer for themselves, with their wrapped keys, in the order of numbers."""
    return await db.fetch(LOCK if lock else RECORDS, shop_id=shop_id, owners=list(owners))


async def follow(
    db: Connection, shop_id: int, owners_before: Collection[int], moves: Mapping[int, int]
) -> dict[str, int]:
    """Let all rows that came in for some records belong to who answers for these now. Returns how many, by table."""
    row = await db.fetch_one(
        _follow(), shop_id=shop_id, before=list(owners_before), origins=list(moves), owners=list(moves.values())
    )
    assert row is not None  # noqa: S101 the statement answers one row
    return dict(row)


async def would_follow(db: Connection, shop_id: int, origins: Collection[int]) -> dict[str, int]:
    """How many rows came in for these records, by table."""
    row = await db.fetch_one(_would_follow(), shop_id=shop_id, owners=list(origins))
    assert row is not None  # noqa: S101 the statement answers one row
    return dict(row)


async def add_edges(db: Connection, shop_id: int, actor: str, moment: datetime, edges: Rows) -> None:
    """Rows of EDGE_ARRAYS."""
    await db.execute(ADD_EDGES, shop_id=shop_id, actor=actor, moment=moment, **columns(EDGE_ARRAYS, edges))


async def put_conflicts(db: Connection, shop_id: int, moment: datetime, conflicts: Rows) -> None:
    """Rows of CONFLICT_ARRAYS, each pair once, the smaller number first."""
    await db.execute(
        PUT_CONFLICTS,
        shop_id=shop_id,
        moment=moment,
        day_ago=moment - DAY,
        **columns(CONFLICT_ARRAYS, conflicts),
    )


async def get_edge(db: Connection, shop_id: int, merge_id: UUID) -> Row | None:
    """A merge, or None."""
    return await db.fetch_one(GET_EDGE, shop_id=shop_id, id=merge_id)


async def own_profiles(db: Connection, shop_id: int, ids: Sequence[int]) -> list[Row]:
    """What each record of a merged person was told, with its wrapped key."""
    return await db.fetch(OWN, shop_id=shop_id, ids=list(ids))


def _tables() -> list[str]:
    """Raises RuntimeError while not every room's tables are described: a merge must not leave rows behind."""
    if not metadata.info.get("complete"):
        raise RuntimeError("import app.tables before customers are merged")
    people = rows_about_people(metadata.sorted_tables)
    return [table.fullname for table, rows in people.items() if rows.merge == "follow"]


@lru_cache(maxsize=1)
def _follow() -> Statement:
    moved = [
        f"""
        moved_{name} as (
            update {name} x set customer_id = m.owner from moves m
            where x.shop_id = :shop_id and x.customer_id = any(cast(:before as bigint[]))
                and x.origin_customer_id = m.origin and x.customer_id <> m.owner
            returning 1
        )
        """  # noqa: S608 table names of our own
        for name in _tables()
    ]
    return _counted(
        "moves as (select * from unnest(cast(:origins as bigint[]), cast(:owners as bigint[])) as t (origin, owner))",
        *moved,
        source="moved_{}",
    )


@lru_cache(maxsize=1)
def _would_follow() -> Statement:
    return _counted(
        "who as (select cast(:owners as bigint[]) as ids)",
        source="{} x where x.shop_id = :shop_id and x.customer_id = any((select ids from who)::bigint[])",
    )


def _counted(*ctes: str, source: str) -> Statement:
    counts = ", ".join(f"(select count(*) from {source.format(name)}) as {name}" for name in _tables())  # noqa: S608 ours
    return statement(text(f"with {', '.join(ctes)} select {counts}"))
