"""Row security that asks which shop is set once for each statement, where it asked for each row."""

from alembic import op
from sqlalchemy import text

from migrations.wall import SAME_SHOP

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Change the policy of every tenant table that still has the older form."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '30s'")
    tables = op.get_bind().execute(
        text("select schemaname, tablename from pg_policies where policyname = 'same_shop' order by 1, 2")
    )
    for schema, table in tables.all():
        op.execute(f'alter policy same_shop on "{schema}"."{table}" using ({SAME_SHOP}) with check ({SAME_SHOP})')
