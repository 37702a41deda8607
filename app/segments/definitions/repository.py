"""The SQL of definitions: a segment's row is what two who change it wait for."""

from typing import Final

from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.core.db import statement
from app.segments.models import segment_versions

_READ: Final = """
    select s.id as segment_id, s.name, s.kind, s.state, s.description, s.folder, s.owner, s.announce, s.version,
        s.live_version, s.size + coalesce(m.moved, 0) as size, s.computed_at, s.took_ms, s.created_at, s.updated_at,
        t.name as tag
    from segments s
    left join tags t on t.shop_id = s.shop_id and t.id = s.tag_id
    left join lateral (
        select sum(x.moved)::bigint as moved from segment_moves x where x.shop_id = s.shop_id and x.segment_id = s.id
    ) m on true
    where s.shop_id = :shop_id
"""
LIST = statement(
    text(
        f"""
        {_READ} and s.id < :before
            and (cast(:state as text) is null or s.state = :state) and (cast(:kind as text) is null or s.kind = :kind)
            and (cast(:folder as text) is null or s.folder = :folder)
        order by s.id desc limit :limit
        """
    )
)
GET = statement(
    text(
        f"""
        select each.*, v.rule, v.masked, v.problem,
            exists (select from segment_builds b where b.shop_id = :shop_id and b.segment_id = :id) as building
        from ({_READ} and s.id = :id) each
        join segment_versions v on v.shop_id = :shop_id and v.segment_id = each.segment_id and v.version = each.version
        """  # noqa: S608 terms of our own
    )
)
# Builds hold the rows that their rules name FOR KEY SHARE, which only who drops one has to wait for.
HOLD = statement(text("select * from segments where shop_id = :shop_id and id = :id for no key update"))
HOLD_TO_DROP = statement(text("select * from segments where shop_id = :shop_id and id = :id for update"))
LOOK = statement(text("select kind, state from segments where shop_id = :shop_id and id = :id for key share"))
COUNT = statement(text("select count(*) from segments where shop_id = :shop_id and state <> 'archived'"))
ADD = statement(
    text(
        """
        insert into segments
            (shop_id, name, kind, description, folder, owner, tag_id, announce, created_at, updated_at)
        values (:shop_id, :name, :kind, :description, :folder, :owner, :tag_id, :announce, :moment, :moment)
        on conflict do nothing
        returning id
        """
    )
)
CHANGE = statement(
    text(
        """
        update segments set
            name = :name, description = :description, folder = :folder, owner = :owner, announce = :announce,
            version = :version, state = :state, updated_at = :moment
        where shop_id = :shop_id and id = :id
        """
    )
)
NAMED = statement(
    text("select id from segments where shop_id = :shop_id and name = :name and state <> 'archived' and id <> :id")
)
ADD_VERSION = statement(
    text(
        """
        insert into segment_versions (shop_id, segment_id, version, rule, masked, actor, created_at)
        values (:shop_id, :segment_id, :version, :rule, :masked, :actor, :moment)
        """
    )
)
VERSIONS = statement(
    select(segment_versions)
    .where(
        segment_versions.c.shop_id == p("shop_id"),
        segment_versions.c.segment_id == p("segment_id"),
        segment_versions.c.version < p("before"),
    )
    .order_by(segment_versions.c.version.desc())
    .limit(p("limit"))
)
# The rule that a list was to be begun with: only the job that was asked for first knows it.
SNAPSHOT = statement(
    text(
        """
        select arguments -> 'snapshot' from queued_jobs
        where shop_id = :shop_id and kind = :kind and arguments -> 'segment_id' = to_jsonb(cast(:id as bigint))
        order by created_at limit 1
        """
    )
)
# Which tags segments give, and in what a segment asks for others: for circles.
GIVERS = statement(text("select id, tag_id from segments where shop_id = :shop_id and tag_id is not null"))
ASKED = statement(
    text(
        """
        select user_id as segment_id, thing, name from uses
        where shop_id = :shop_id and user_kind = 'segment' and thing in ('segment', 'tag')
        """
    )
)
PUT_ON = statement(
    text(
        """
        with present as (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[])) and status <> 'erased'
            order by id for key share
        ),
        added as (
            insert into segment_entries (shop_id, segment_id, customer_id, origin_customer_id, actor, added_at)
            select :shop_id, :segment_id, owner, id, :actor, :moment from present order by owner, id
            on conflict do nothing
            returning origin_customer_id
        )
        select p.id, p.owner, p.id in (select origin_customer_id from added) as changed from present p
        """
    )
)
LISTS = statement(
    text(
        """
        select id, name, kind from segments
        where shop_id = :shop_id and state = 'active'
            and (id = any(cast(:ids as bigint[])) or name = any(cast(:names as text[])))
        order by id for key share
        """
    )
)
PUT_ON_LISTS = statement(
    text(
        """
        with present as (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[])) and status <> 'erased'
            order by id for key share
        )
        insert into segment_entries (shop_id, segment_id, customer_id, origin_customer_id, actor, added_at)
        select :shop_id, t.segment_id, p.owner, p.id, :actor, :moment
        from unnest(cast(:segment_ids as bigint[]), cast(:customer_ids as bigint[])) as t (segment_id, customer_id)
        join present p on p.id = t.customer_id
        order by t.segment_id, p.owner, p.id
        on conflict do nothing
        returning segment_id, customer_id
        """
    )
)
TAKE_OFF = statement(
    text(
        """
        with present as (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[]))
            order by id for key share
        ),
        gone as (
            delete from segment_entries e using present p
            where e.shop_id = :shop_id and e.segment_id = :segment_id and e.customer_id = p.owner
            returning e.customer_id
        )
        select p.id, p.owner, p.owner in (select customer_id from gone) as changed from present p
        """
    )
)
