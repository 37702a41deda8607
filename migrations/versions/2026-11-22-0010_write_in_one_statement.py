"""Ids and log rows that statements make for themselves, member windows in the order of lists, authorisation codes."""

from alembic import op

from migrations.wall import ROLE

revision = "0002"
down_revision = "0001"

# A version 7 UUID like the service's own. Postgres has one of its own from 18 on, which is several times faster.
NEW_ID = """
do $$ begin
    if current_setting('server_version_num')::int >= 180000 then
        create function kehu_new_id() returns uuid language sql volatile parallel safe as 'select uuidv7()';
    else
        create function kehu_new_id() returns uuid language sql volatile parallel safe as '
            select encode(
                set_bit(set_bit(
                    overlay(uuid_send(gen_random_uuid())
                            placing substring(
                                int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                            from 1 for 6),
                    52, 1), 53, 1),
                ''hex'')::uuid';
    end if;
end $$
"""

# Travels with COMMIT as text: a function keeps the plan of its INSERT, which text of its own would be given anew.
VISIT = """
create function kehu_visit(
    shop bigint, id uuid, actor text, call text, purpose text, action text, objects integer, customers bigint[],
    masked boolean, result text, address text, request text
) returns void language plpgsql as $$
begin
    insert into access_log (shop_id, id, at, actor, call, purpose, action, objects, customers, masked, result,
                            address, request_id)
    values (shop, id, clock_timestamp(), actor, call, purpose, action, objects, customers, masked, result, address,
            request);
end $$
"""


def upgrade() -> None:
    """Add the functions, widen the index, let codes in."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute(NEW_ID)
    op.execute(f"grant execute on function kehu_new_id to {ROLE}")
    op.execute(VISIT)
    op.execute(f"grant execute on function kehu_visit to {ROLE}")
    # What a window of members, and the full run, look for is in the index: rows need not be fetched one by one.
    for name, table in (
        ("ix_customers_member", "customers"),
        ("ix_customers_member_since", "customers"),
        ("ix_orders_customer", "orders"),
    ):
        op.drop_index(name, table)
    op.create_index(
        "ix_customers_member",
        "customers",
        ["shop_id", "created_at", "id"],
        postgresql_include=["member_since"],
        postgresql_where="member_since is not null",
    )
    op.create_index(
        "ix_customers_member_since",
        "customers",
        ["shop_id", "member_since", "created_at", "id"],
        postgresql_where="member_since is not null",
    )
    op.create_index(
        "ix_orders_customer",
        "orders",
        ["shop_id", "customer_id", "paid_at"],
        postgresql_include=["order_no", "amount_fen", "status"],
    )
    op.drop_constraint("ck_credentials_kind", "credentials")
    op.create_check_constraint(
        op.f("ck_credentials_kind"), "credentials", "kind in ('client', 'token', 'refresh_token', 'api_key', 'code')"
    )
