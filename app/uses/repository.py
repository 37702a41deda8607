"""The uses room's SQL: what a user uses is written as a whole, and only what differs is touched."""

from sqlalchemy import text

from app.core.db import statement

# In one order, so that two users who come to use the same things do not wait for each other in a ring.
RECORD = statement(
    text(
        """
        with wanted as (
            select thing, name from unnest(cast(:things as text[]), cast(:names as text[])) as t (thing, name)
        ),
        gone as (
            delete from uses u
            where u.shop_id = :shop_id and u.user_kind = :user_kind and u.user_id = :user_id
                and not exists (select from wanted w where w.thing = u.thing and w.name = u.name)
        )
        insert into uses as u (shop_id, thing, name, user_kind, user_id, user_name)
        select :shop_id, thing, name, cast(:user_kind as text), cast(:user_id as bigint), cast(:user_name as text)
        from wanted order by thing, name
        on conflict (shop_id, thing, name, user_kind, user_id) do update set user_name = excluded.user_name
            where u.user_name <> excluded.user_name
        """
    )
)
RENAME = statement(
    text(
        """
        update uses set user_name = :user_name
        where shop_id = :shop_id and user_kind = :user_kind and user_id = :user_id
        """
    )
)
BY = statement(
    text(
        """
        select thing, name from uses
        where shop_id = :shop_id and user_kind = :user_kind and user_id = :user_id
        """
    )
)
FORGET = statement(text("delete from uses where shop_id = :shop_id and user_kind = :user_kind and user_id = :user_id"))
OF = statement(
    text(
        """
        select name, user_kind, user_id, user_name from uses
        where shop_id = :shop_id and thing = :thing and name = any(cast(:names as text[]))
        order by name, user_kind, user_id
        """
    )
)
