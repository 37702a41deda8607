"""A caller steps into their shop by one function: text of several statements was parsed anew in every call."""

from alembic import op

from migrations.wall import ROLE

revision = "0007"
down_revision = "0006"

# `durable`: whether the commit waits for the disk. Raises KH401 unless the credential is live at this moment.
ENTER = """
create function kehu_enter(shop bigint, hash bytea, expected_epoch integer, durable boolean) returns void
language plpgsql as $$
begin
    perform set_config('kehu.shop_id', shop::text, true);
    if not durable then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    perform 1
    from credentials c join api_clients a on a.shop_id = c.shop_id and a.id = c.client
    where c.shop_id = shop and c.lookup_hash = hash
        and c.revoked_at is null and (c.expires_at is null or c.expires_at > now())
        and a.revoked_at is null and (a.expires_at is null or a.expires_at > now()) and a.epoch = expected_epoch;
    if not found then
        raise exception 'the credential is not live' using errcode = 'KH401';
    end if;
end $$
"""


def upgrade() -> None:
    """Replace kehu_admit."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(ENTER)
    op.execute(f"grant execute on function kehu_enter to {ROLE}")
    op.execute("drop function kehu_admit")
