"""Time-ordered ids made by the database, so that a set-based statement can record facts of its own."""

from alembic import op

from migrations.wall import ROLE

revision = "0002"
down_revision = "0001"

# A version 7 UUID like the service's own: Postgres has one of its own from 18 on.
NEW_ID = """
create function kehu_new_id() returns uuid language sql volatile parallel safe as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$
"""


def upgrade() -> None:
    """Add the function."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(NEW_ID)
    op.execute(f"grant execute on function kehu_new_id to {ROLE}")
