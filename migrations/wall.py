"""The second wall: what every tenant table gets from the migration that creates it, one statement at a time."""

from collections.abc import Iterable

from alembic import op

ROLE = "kehu_app"
# As a sub-select the shop is asked for once for each statement, not once for each row that it reads or writes.
SAME_SHOP = "shop_id = (select nullif(current_setting('kehu.shop_id', true), '')::bigint)"


def protect(tables: Iterable[str], *, may: str = "select, insert, update, delete") -> None:
    """Force row security by shop, let the service's role in, and register the tables as tenant tables."""
    for table in tables:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy same_shop on {table} using ({SAME_SHOP}) with check ({SAME_SHOP})")
        op.execute(f"grant {may} on {table} to {ROLE}")
        op.execute(f"insert into table_kinds (name, kind) values ('{table}', 'tenant')")


def close(partitions: Iterable[str]) -> None:
    """Force row security on partitions and let nobody in: they are reached through their table, behind its policy."""
    for partition in partitions:
        op.execute(f"alter table {partition} enable row level security")
        op.execute(f"alter table {partition} force row level security")


def share(tables: Iterable[str], *, may: str) -> None:
    """Let the service's role use a table that is read across shops, and register it as a reference table."""
    for table in tables:
        op.execute(f"grant {may} on {table} to {ROLE}")
        op.execute(f"insert into table_kinds (name, kind) values ('{table}', 'reference')")
