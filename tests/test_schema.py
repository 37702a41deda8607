"""The schema: tables and models agree, and the wall between shops stands around every table."""

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import ROLE, sqlalchemy_url, statement
from app.core.persons import rows_about_people
from app.tables import is_ours, metadata
from tests.conftest import Api, Rows

TENANT = sorted(table.fullname for table in metadata.tables.values() if table.info["kind"] == "tenant")


async def test_migrations_and_models_agree(database_url: str) -> None:
    def compare(connection: Connection) -> list[object]:
        options = {"include_schemas": True, "include_name": is_ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    engine = create_async_engine(sqlalchemy_url(database_url))
    async with engine.connect() as connection:
        differences = await connection.run_sync(compare)
    await engine.dispose()
    assert differences == []


async def test_every_table_with_a_shop_is_walled_and_registered(rows: Rows) -> None:
    found = await rows(
        """
        select case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname as name,
               c.relrowsecurity, c.relforcerowsecurity, k.kind,
               exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal) as triggered,
               (select array_agg(p.polqual is not null and (p.polwithcheck is not null or p.polcmd = 'r'))
                from pg_policy p where p.polrelid = c.oid) as policies
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'shop_id'
        left join table_kinds k
            on k.name = case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname
        where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('public', 'vault')
        order by 1
        """
    )
    assert [row["name"] for row in found] == TENANT
    for row in found:
        assert row["relrowsecurity"], row
        assert row["relforcerowsecurity"], row
        assert row["kind"] == "tenant", row
        assert row["policies"], row
        assert all(row["policies"]), row
        assert not row["triggered"], row


async def test_a_partition_is_reached_through_its_table_only(entry: Entry, shop: Shop, rows: Rows) -> None:
    found = await rows(
        """
        select c.relname as name, p.relname as table, c.relrowsecurity and c.relforcerowsecurity as walled,
               exists (select from pg_policy y where y.polrelid = c.oid) as opened,
               has_table_privilege($1, c.oid, 'select, insert, update, delete, truncate, references') as granted
        from pg_class c join pg_inherits i on i.inhrelid = c.oid join pg_class p on p.oid = i.inhparent
        where c.relispartition and c.relkind in ('r', 'p')
        """,
        ROLE,
    )
    assert {row["table"] for row in found} == {
        table.name for table in metadata.tables.values() if table.dialect_options["postgresql"]["partition_by"]
    }
    assert len(found) > 25
    for row in found:
        assert (row["walled"], row["opened"], row["granted"]) == (True, False, False), row
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with entry.database.transaction(shop.id) as db:
            await db.fetch(statement(text("select * from events_default")))


async def test_the_service_role_makes_no_partitions(entry: Entry, shop: Shop) -> None:
    bounds = "for values from ('1990-01-01') to ('1990-02-01')"
    for attempt in (
        f"create table events_1990_01 partition of events {bounds}",
        f"alter table events attach partition stores {bounds}",
        "alter table events detach partition events_default",
        "create table events_1990_01 (like events)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with entry.database.transaction(shop.id) as db:
                await db.execute(statement(text(attempt)))


async def test_every_key_begins_with_the_shop(rows: Rows) -> None:
    found = await rows(
        """
        select c.relname, i.indexrelid::regclass::text as index, a.attname as first_column
        from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        left join pg_inherits h on h.inhrelid = c.oid left join pg_class p on p.oid = h.inhparent
        join table_kinds k on k.kind = 'tenant'
            and k.name = case n.nspname when 'public' then '' else n.nspname || '.' end
                || coalesce(p.relname, c.relname)
        """
    )
    others = {row["index"] for row in found if row["first_column"] != "shop_id"}
    assert others == {"ix_credentials_lookup"}, "a bearer's row is found by its hash before the shop is known"


async def test_every_table_about_people_says_what_becomes_of_its_rows(rows: Rows) -> None:
    found = await rows(
        """
        select case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname as name,
               bool_or(a.attname = 'origin_customer_id') as keeps_origin
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid
            and (a.attname in ('customer_id', 'other_id', 'origin_customer_id') or c.relname = 'customers')
        where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('public', 'vault')
        group by 1
        """
    )
    said = {table.fullname: rows for table, rows in rows_about_people(metadata.tables.values()).items()}
    assert {row["name"] for row in found} == said.keys()
    for row in found:
        assert (said[row["name"]].merge == "follow") == row["keeps_origin"], row["name"]
    movable = await rows(
        "select table_name from information_schema.column_privileges "
        "where grantee = $1 and column_name = 'customer_id' and privilege_type = 'UPDATE'",
        ROLE,
    )
    follow = {name for name, rows in said.items() if rows.merge == "follow"}
    assert follow <= {row["table_name"] for row in movable}


# What a database that is spread over several servers by shop asks of every table: see docs/operations.md.
FORBIDDEN = {
    "a table without a primary key": """
        select c.oid::regclass::text as what from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'vault') and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
            and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')
    """,
    "a table whose kind is not registered": """
        select c.oid::regclass::text as what from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'vault') and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
            and not c.relispartition
            and not exists (
                select from table_kinds k
                where k.name = case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname
            )
    """,
    "a foreign key that leaves the shop": """
        select k.conname as what from pg_constraint k join pg_namespace n on n.oid = k.connamespace
        join pg_attribute mine on mine.attrelid = k.conrelid and mine.attnum = k.conkey[1]
        join pg_attribute theirs on theirs.attrelid = k.confrelid and theirs.attnum = k.confkey[1]
        where n.nspname in ('public', 'vault') and k.contype = 'f'
            and (mine.attname, theirs.attname) not in (('shop_id', 'shop_id'), ('shop_id', 'id'))
    """,
    "a foreign key that empties columns": """
        select k.conname as what from pg_constraint k join pg_namespace n on n.oid = k.connamespace
        where n.nspname in ('public', 'vault') and k.contype = 'f' and k.confdeltype in ('n', 'd')
    """,
    "a trigger": """
        select t.tgname as what from pg_trigger t join pg_class c on c.oid = t.tgrelid
        join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'vault') and not t.tgisinternal
    """,
    "a rule": """
        select r.rulename as what from pg_rewrite r join pg_class c on c.oid = r.ev_class
        join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'vault') and r.rulename <> '_RETURN'
    """,
    "an exclusion constraint": """
        select k.conname as what from pg_constraint k join pg_namespace n on n.oid = k.connamespace
        where n.nspname in ('public', 'vault') and k.contype = 'x'
    """,
    "inheritance other than a partition's": """
        select c.oid::regclass::text as what from pg_inherits i join pg_class c on c.oid = i.inhrelid
        join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'vault') and c.relkind in ('r', 'p') and not c.relispartition
    """,
    "a type of its own": """
        select t.typname as what from pg_type t join pg_namespace n on n.oid = t.typnamespace
        where n.nspname in ('public', 'vault') and t.typtype in ('e', 'd', 'r')
    """,
    "an extension": "select extname as what from pg_extension where extname <> 'plpgsql'",
}


@pytest.mark.parametrize("construct", FORBIDDEN)
async def test_nothing_that_a_spread_database_cannot_have(rows: Rows, construct: str) -> None:
    assert await rows(FORBIDDEN[construct]) == []


async def test_the_search_for_it_finds_it(database_url: str) -> None:
    """Each of the searches above, over a schema that has one of each."""
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        for statement_ in (
            "create table public.bare (shop_id bigint, id bigint)",
            "create table public.other (shop_id bigint, id bigint unique, primary key (shop_id, id))",
            "create table public.child (shop_id bigint, parent bigint references public.other (id) on delete set null, "
            "primary key (shop_id, parent))",
            "create function public.nothing() returns trigger language plpgsql as 'begin return null; end'",
            "create trigger on_bare after insert on public.bare execute function public.nothing()",
            "create rule on_other as on delete to public.other do instead nothing",
            "alter table public.other add constraint apart exclude (id with =)",
            "create table public.heir () inherits (public.bare)",
            "create type public.mood as enum ('fine')",
        ):
            await connection.execute(statement_)
        found = {construct for construct, sql in FORBIDDEN.items() if await connection.fetch(sql)}
        assert found == set(FORBIDDEN) - {"an extension"}
    finally:
        await transaction.rollback()
        await connection.close()


async def test_the_service_role_owns_nothing(rows: Rows) -> None:
    assert await rows("select * from pg_tables where tableowner = $1", ROLE) == []
    (role,) = await rows("select rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname = $1", ROLE)
    assert role == {"rolsuper": False, "rolbypassrls": False, "rolcanlogin": False}


@pytest.mark.parametrize("table", TENANT)
async def test_without_a_shop_there_are_no_rows(entry: Entry, api: Api, rows: Rows, table: str) -> None:
    await api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": "13800000001"}]})
    count = statement(text(f"select count(*) from {table}"))  # noqa: S608 a table of ours
    async with entry.database.transaction() as db:
        assert await db.fetch_value(count) == 0
    if table in ("customers", "identities", "vault.person_keys", "customer_changes", "domain_events"):
        assert await rows(f"select 1 from {table} limit 1"), "so the count above could have seen some"  # noqa: S608


async def test_the_wall_holds_over_reused_connections(entry: Entry, shop: Shop, other_shop: Shop, api: Api) -> None:
    await api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": "13800000002"}]})
    shops_seen = statement(text("select distinct shop_id from customers"))
    for turn in range(200):
        here = shop if turn % 2 else other_shop
        async with entry.database.transaction(here.id) as db:
            seen = {row["shop_id"] for row in await db.fetch(shops_seen)}
        assert seen == ({shop.id} if here is shop else set())


async def test_a_row_cannot_be_written_into_another_shop(entry: Entry, shop: Shop, other_shop: Shop) -> None:
    mark = statement(text("insert into customer_changes (shop_id, customer_id, changed_at) values (:shop, 1, now())"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with entry.database.transaction(shop.id) as db:
            await db.execute(mark, shop=other_shop.id)
