"""A shop that rules find people in: events over thirteen months, consents, tags, attributes, scores; all set-based."""

from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple

from app.attributes import service as attributes
from app.attributes.schemas import AttributeWrite
from app.core import clock
from app.events.partitions import make_months
from app.refresh import requests
from app.tags import repository as tags
from benchmarks import handwritten, population
from benchmarks.population import People
from benchmarks.stage import Stage, Tenant

ORDERS_EACH: Final = 5
EVENTS_EACH: Final = 10
ORDER_DAYS: Final = 730
EVENT_DAYS: Final = 395
STAFF: Final = "员工"
TAGS: Final = tuple(f"标签 {number}" for number in range(1, 21))
SKINS: Final = ("dry", "oily", "mixed", "sensitive")
# Each burst leaves its own window in the same minute: so many customers, each of whom answered its campaign once.
BURSTS: Final = 50
BURST: Final = 1_000
BURST_SECONDS: Final = 60

# In the order of time, as they come in. Three in ten do nothing, and a hundredth of the others, all over the shop, does
# a tenth of all.
_EVENTS: Final = """
    insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind,
                        identity_hash, type, properties, store_id, source)
    select $1, gen_random_uuid(), occurred_at, occurred_at, customer_id, customer_id, 'mobile', ''::bytea,
           (array['view', 'view', 'view', 'view', 'view', 'view', 'cart', 'cart', 'favourite', 'consult', 'visit',
                  'visit'])[1 + n % 12],
           jsonb_build_object('product', 'P' || lpad((1 + floor(300 * power(random(), 3)))::text, 3, '0'),
                              'price', 5900 + 100 * (n % 50)),
           1 + n % 12, 'mini-program'
    from (
        select n, $2::bigint + floor(0.7 * $3::int * power(random(), 2))::bigint * 7919 % $3::int as customer_id,
               $4::timestamptz - ($5::int - n + random()) / $5::int * $6::int * interval '24 hours' as occurred_at
        from generate_series(1, $5::int) as n
    ) as t
"""
_BURSTS: Final = """
    insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind,
                        identity_hash, type, properties, store_id, source)
    select $1, gen_random_uuid(), occurred_at, occurred_at, customer_id, customer_id, 'mobile', ''::bytea,
           'campaign_response', jsonb_build_object('product', 'B' || lpad(day::text, 2, '0')), 1, 'mini-program'
    from (
        select day, $2::bigint + (n::bigint * ($3::int / $5::int) + day) % $3::int as customer_id,
               $4::timestamptz - day * interval '24 hours'
                   + (n + 0.5) / $5::int * $6::int * interval '1 second' as occurred_at
        from generate_series(1, $7::int) as day cross join generate_series(0, $5::int - 1) as n
    ) as t
"""
# Six in ten may be sent text messages, of whom one in ten took it back; three in ten follow; few want nothing at all.
_CONSENTS: Final = """
    insert into consents (shop_id, customer_id, origin_customer_id, purpose, channel, state, source, occurred_at,
                          recorded_at)
    select $1, id, id, 'marketing', channel, state, 'form', at, at
    from (
        select c.id, said.channel, said.state, c.created_at + said.nth * ($2::timestamptz - c.created_at) / 4 as at
        from customers c
        cross join lateral (select hashint8(c.id) & 65535 as dice) drawn
        cross join lateral (
            values ('sms', 'granted', 0, dice % 10 < 6),
                   ('sms', 'withdrawn', 2, dice % 10 < 6 and dice % 97 < 10),
                   ('wechat', 'granted', 1, dice % 7 < 2),
                   ('*', 'withdrawn', 3, dice % 101 = 0)
        ) as said (channel, state, nth, is_so)
        where c.shop_id = $1 and said.is_so
    ) as ledger
    order by at
"""
# Two in five carry one tag or several, as unlike in size as tags are; some have run out, and some will.
_TAGGED: Final = """
    insert into customer_tags (shop_id, customer_id, tag_id, origin_customer_id, source, actor, assigned_at,
                               valid_until)
    select distinct on (customer_id, tag_id) $1::bigint, customer_id, tag_id, customer_id, 'manual', 'benchmark',
           $4::timestamptz - interval '90 days',
           case when n % 10 = 0 then $4::timestamptz + (n % 1000 - 300) * interval '1 day' end
    from (
        select n, $2::bigint + floor($3::int * random())::bigint as customer_id,
               ($5::bigint[])[1 + floor(cardinality($5::bigint[]) * power(random(), 3))::int] as tag_id
        from generate_series(1, $3::int / 2) as n
        union all
        select 1, $2::bigint + n * ($3::int / 200), $6::bigint from generate_series(0, 199) as n
    ) as t
    order by customer_id, tag_id
"""
_ATTRIBUTED: Final = """
    insert into customer_attributes
        (shop_id, origin_customer_id, name, customer_id, text_value, number_value, told_at, source)
    select $1::bigint, customer_id, v.name, customer_id, v.text_value, v.number_value, $4::timestamptz, 'benchmark'
    from (
        select $2::bigint + n as customer_id, n, random() as draw, floor(100 * power(random(), 2)) as visits
        from generate_series(0, $3::int - 1) as n
    ) as t
    cross join lateral (
        values ('skin', ($5::text[])[1 + floor(4 * power(draw, 1.5))::int], null),
               ('visits', null, visits)
    ) as v (name, text_value, number_value)
    where case v.name when 'skin' then n % 2 = 0 else n % 3 = 0 end
"""
_STORES: Final = """
    insert into stores (shop_id, id, name, created_at)
    select $1, n, 'store ' || n, now() from generate_series(1, $2::int) as n
"""


class SegmentShop(NamedTuple):
    """A shop whose rules can be kept.

    Args:
        end: the newest fact; the bursts leave their windows in the minute after it.
    """

    tenant: Tenant
    people: People
    end: datetime

    @property
    def id(self) -> int:
        """The shop's number."""
        return self.tenant.shop.id

    @property
    def form(self) -> str:
        """How large it is, for a figure's detail."""
        count = self.people.count
        return f"{count:,} customers, {ORDERS_EACH * count:,} orders, {EVENTS_EACH * count:,} events"

    def some(self, count: int, seed: int) -> list[int]:
        """So many customers from all over the shop, in order; others with another seed."""
        drawn = Random(seed).sample(range(self.people.count), count)  # noqa: S311 repeatable, protects nothing
        return sorted(self.people.first + number for number in drawn)


async def fill(place: Stage, count: int) -> SegmentShop:
    """A shop that time passes in, with everything that rules of all kinds ask for, scored once."""
    tenant = await place.open_shop("segments", pinned=False)
    people = await population.people(place, tenant, count)
    await population.orders(place, tenant, people, ORDERS_EACH * count, ORDER_DAYS)
    await population.lines(place, tenant)
    end = clock.now()
    tag_ids = await _declare(place, tenant.shop.id)
    whom = (tenant.shop.id, people.first, people.count, end)
    async with place.owner() as owner:
        await make_months(owner, end - timedelta(days=EVENT_DAYS + 1))
        await owner.execute("select setseed(0.24)")
        await owner.execute(_EVENTS, *whom, EVENTS_EACH * count, EVENT_DAYS)
        await owner.execute(_BURSTS, *whom, BURST, BURST_SECONDS, BURSTS)
        await owner.execute(_CONSENTS, tenant.shop.id, end)
        await owner.execute(_TAGGED, *whom, [tag_ids[name] for name in TAGS], tag_ids[STAFF])
        await owner.execute(_ATTRIBUTED, *whom, list(SKINS))
        await owner.execute("analyze")
        await handwritten.rescore(owner, tenant.shop.id, tenant.shop.live_as_of(), tenant.shop.zone.key)
        await owner.execute("truncate domain_events, customer_changes")
    await _forgo_the_night(place, tenant)
    await population.settle(place)
    return SegmentShop(tenant, people, end)


async def _declare(place: Stage, shop_id: int) -> dict[str, int]:
    """Stores, attributes, and tags. Returns the tags' numbers by name."""
    async with place.owner() as owner:
        await owner.execute(_STORES, shop_id, population.STORES)
    async with place.entry() as entry, entry.shop(shop_id) as (db, shop):
        skin = AttributeWrite(type="choice", class_="public", allowed_values=list(SKINS))
        await attributes.declare(db, shop, "skin", skin)
        await attributes.declare(db, shop, "visits", AttributeWrite(type="integer", class_="public"))
        await tags.make(db, shop.id, [*TAGS, STAFF], clock.now())
        return await tags.named(db, shop.id, [*TAGS, STAFF])


async def _forgo_the_night(place: Stage, tenant: Tenant) -> None:
    """What tonight's full run would compute has just been computed: its job is there, and done."""
    local = clock.now().astimezone(tenant.shop.zone)
    async with place.entry() as entry, entry.shop(tenant.shop.id) as (db, shop):
        await requests.rescore(db, shop, key=f"nightly:{local.date().isoformat()}")
    async with place.owner() as owner:
        await finish_jobs(owner)


async def finish_jobs(owner: Any) -> None:
    """What is queued has been done in this process: the worker has nothing to do twice."""
    await owner.execute("update queued_jobs set state = 'done', finished_at = now() where state = 'queued'")
