"""What the shop's tags come to: how many carry them, since when, by whose doing: one walk of the assignments."""

from typing import Final

from sqlalchemy import text

from app.core.db import Connection, Row, statement

SMALL_SHOP: Final = 2_000
ADDED_DAYS: Final = 30

# A person counts once: by the row that came in for the record that answers for them, which is there once at most. Only
# rows that came in for a record that was merged away are looked up, and they are few. `offset 0` keeps that look-up
# where it is: drawn up into the counts, it would be done once for each of them. All assignments of the shop are walked
# whatever the page: one page holds most shops' tags, and asked by tag, they would be fetched in no order of the table.
REPORT = statement(
    text(
        f"""
        with page as (
            select id, name, kind, status, category_id, created_at from tags
            where shop_id = :shop_id and id > :after order by id limit :limit
        ),
        held as (
            select a.tag_id, a.source, a.assigned_at,
                   (a.valid_until is null or a.valid_until > now())
                       and case when a.origin_customer_id = a.customer_id then true
                           else not exists (
                               select from customer_tags b
                               where b.shop_id = a.shop_id and b.customer_id = a.customer_id and b.tag_id = a.tag_id
                                   and (b.valid_until is null or b.valid_until > now())
                                   and (b.origin_customer_id = b.customer_id
                                       or b.origin_customer_id < a.origin_customer_id)
                                   and b.origin_customer_id <> a.origin_customer_id
                           ) end as counts
            from customer_tags a
            where a.shop_id = :shop_id
            offset 0
        ),
        by_source as (
            select tag_id, source, count(*) filter (where counts) as customers,
                   count(*) filter (
                       where counts and assigned_at >= now() - make_interval(days => {ADDED_DAYS})
                   ) as added,
                   max(assigned_at) as last_at
            from held group by tag_id, source
        ),
        by_tag as (
            select tag_id, sum(customers)::bigint as customers, sum(added)::bigint as added, max(last_at) as last_at,
                   jsonb_object_agg(source, customers) filter (where customers > 0) as by_source
            from by_source group by tag_id
        ),
        kept as materialized (
            select coalesce((select customers from customer_totals where shop_id = :shop_id), 0) as customers
        ),
        everybody as (
            select case when customers >= {SMALL_SHOP} then customers else greatest(customers, (
                select count(*) from (
                    select from customers where shop_id = :shop_id and merged_into is null limit {SMALL_SHOP}
                ) as few
            )) end as customers
            from kept
        )
        select p.id, p.name, p.kind, p.status, p.category_id, c.name as category,
               coalesce(t.customers, 0) as customers,
               case when e.customers > 0 then least(1.0, coalesce(t.customers, 0)::float8 / e.customers) end as share,
               coalesce(t.added, 0) as added_30d, t.last_at as last_assigned_at,
               coalesce(t.by_source, '{{}}'::jsonb) as by_source,
               coalesce(t.last_at, p.created_at) < now() - make_interval(days => cast(:stale_days as integer)) as stale,
               coalesce(t.customers, 0) = 0 as unused
        from page p
        cross join everybody e
        left join by_tag t on t.tag_id = p.id
        left join tag_categories c on c.shop_id = :shop_id and c.id = p.category_id
        order by p.id
        """  # noqa: S608 numbers of our own
    )
)


async def report(db: Connection, shop_id: int, *, stale_days: int, after: int, limit: int) -> list[Row]:
    """A page of tags by number, each with its figures as of now.

    Each row: id, name, kind, status, category_id, category, customers, share (of the shop's customers, None without
    any), added_30d, last_assigned_at, by_source, stale (nobody was given it for so many days), unused.
    """
    return await db.fetch(REPORT, shop_id=shop_id, stale_days=stale_days, after=after, limit=limit)
