"""Fills a shop fast and honestly: rows go in by COPY past the API, but every sealed value can really be opened.

The same seed gives every shop the same people, so that a shop of sealed values and the baseline's shop of plain ones
differ in nothing else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Final

from app.core.crypto import ShopKeys
from app.events.partitions import make_months
from benchmarks.bare import KEY, hash_of, stored
from benchmarks.stage import Stage, Tenant

YEARS: Final = 3
STORES: Final = 12
WITHOUT_MOBILE: Final = 10  # every tenth person has none
_SEED: Final = 20_260
CHUNK: Final = 20_000  # people of one transaction; each chunk has a seed of its own, so that any may come first
_SURNAMES: Final = "王李张刘陈杨赵黄周吴"
_GIVEN: Final = ("芳", "秀英", "敏", "静", "丽", "雨桐", "欣怡", "梓涵", "诗琪", "佳宁")
_NAMES: Final = [surname + given for surname in _SURNAMES for given in _GIVEN]
_SEASON: Final = 90 * 86_400

_CUSTOMERS: Final = (
    "shop_id",
    "id",
    "name",
    "mobile",
    "gender",
    "birthday",
    "area_code",
    "store_id",
    "source_channel",
    "mobile_verified",
    "member_since",
    "created_at",
    "updated_at",
    "told_at",
)
_IDENTITIES: Final = (
    "shop_id",
    "kind",
    "value_hash",
    "customer_id",
    "origin_customer_id",
    "value",
    "first_seen_at",
    "last_seen_at",
)

# One in five never bought. The others come at some time, buy at a pace of their own, and leave, most of them soon and a
# few never: purchases at exponential rates until an exponential end whose rate is exponential too. The median stay is a
# sixth of the span, and the mean of what falls into it 0.2117 of it. What somebody spends is a gamma's inverse.
_ORDERS: Final = """
    insert into orders (shop_id, order_no, customer_id, origin_customer_id, identity_kind, identity_hash, store_id,
                        channel, status, paid_at, amount_fen, discount_fen, currency, source_version, payload_hash,
                        received_at)
    select $1, 'B' || n, customer_id, customer_id, 'mobile', sha256(n::text::bytea), 1 + dice % 12,
           case when dice % 3 = 0 then 'mall' else 'store' end,
           case when dice % 50 = 0 then 'closed' else 'completed' end, paid_at, amount_fen,
           case when dice % 5 = 0 then amount_fen * (dice % 7) / 10 else 0 end, 'CNY', 0, sha256(n::text::bytea),
           paid_at
    from (
        select customer_id, number * 10000 + nth as n, hashint8(number * 10000 + nth) & 65535 as dice,
               came_at + case when nth = 0 then 0 else random() end * stayed * interval '1 day' as paid_at,
               (usual_fen * (0.3 + 1.4 * random()))::bigint as amount_fen
        from (
            select $2::bigint + i as customer_id, i::bigint as number, random() as early, random() as brief,
                   -ln(1 - random()) as pace, random() as draw,
                   500 - 20000 / ln((1 - random()) * (1 - random()) * (1 - random())) as usual_fen
            from generate_series($3::int, $4::int) as i where i % 5 <> 0
        ) as person
        cross join lateral (
            select $5::timestamptz - early * $6::int * interval '1 day' as came_at,
                   $6::int * least(early, (1 / (1 - brief) - 1) / 6) as stayed
        ) as customer
        cross join lateral generate_series(
            0, least(floor(pace * stayed * (1.25 * $7::float8 - 1) / (0.2117 * $6::int) + draw), 9999)::int
        ) as nth
    ) as bought
"""
# Of every other order one to three lines.
_LINES: Final = """
    insert into order_items (shop_id, order_no, line_no, sku, name, category, quantity, price_fen)
    select o.shop_id, o.order_no, line, 'SKU' || hash % 500, 'article', 'category ' || hash % 500 % 12,
           1 + hash % 3, o.amount_fen / (1 + hash % 3)
    from orders o
    cross join lateral generate_series(1, 1 + abs(hashtext(o.order_no) % 3)) as line
    cross join lateral (select hashtext(o.order_no || line) & 65535 as hash) as drawn
    where o.shop_id = $1 and hashtext(o.order_no) % 2 = 0
"""
_EVENTS: Final = """
    insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind,
                        identity_hash, type, properties, store_id, source)
    select $1, gen_random_uuid(), occurred_at, occurred_at, customer_id, customer_id, 'mobile',
           sha256(n::text::bytea), (array['view', 'view', 'view', 'cart', 'favourite', 'visit', 'share'])[1 + n % 7],
           '{"sku": "SKU001"}', 1 + n % 12, 'mini-program'
    from (
        select n, $2 + floor($3 * power(random(), 1.3))::bigint as customer_id,
               $4::timestamptz - random() * interval '365 days' as occurred_at
        from generate_series(1, $5::int) as n
    ) as t
"""
_REFUNDS: Final = """
    insert into refunds (shop_id, refund_no, order_no, amount_fen, refunded_at, source_version, payload_hash, settled,
                         received_at)
    select shop_id, 'R' || order_no, order_no, amount_fen / 2, least(paid_at + interval '3 days', received_at), 0,
           payload_hash, true, received_at
    from orders where shop_id = $1 and hashtext(order_no) % 33 = 0
"""
_COPY_ORDERS: Final = """
    insert into orders (shop_id, order_no, customer_id, origin_customer_id, identity_kind, identity_hash, store_id,
                        channel, status, paid_at, amount_fen, discount_fen, currency, source_version, payload_hash,
                        received_at)
    select $2, order_no, customer_id + $3, origin_customer_id + $3, identity_kind, identity_hash, store_id, channel,
           status, paid_at, amount_fen, discount_fen, currency, source_version, payload_hash, received_at
    from orders where shop_id = $1
"""
_COPY_EVENTS: Final = """
    insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind,
                        identity_hash, type, properties, store_id, source)
    select $2, id, occurred_at, received_at, customer_id + $3, origin_customer_id + $3, identity_kind, identity_hash,
           type, properties, store_id, source
    from events where shop_id = $1
"""


@dataclass(frozen=True, slots=True)
class People:
    """Who was loaded: person `i` of `count` is customer `first + i`."""

    first: int
    count: int

    def with_mobile(self, random: Random) -> str:
        """The mobile of somebody who has one, eleven digits."""
        while True:
            number = random.randrange(self.count)
            if found := mobile(number):
                return found

    def mobile_of(self, customer_id: int) -> str | None:
        """A customer's mobile, or None."""
        return mobile(customer_id - self.first)


@dataclass(frozen=True, slots=True)
class Writer:
    """How a shop keeps what it knows: `person` gives a wrapped key and a function that seals for a column."""

    person: Callable[[int], tuple[bytes, Callable[[str, str], bytes]]]
    blind: Callable[[str, str], bytes]


def sealed(keys: ShopKeys) -> Writer:
    """As the service does."""

    def person(number: int) -> tuple[bytes, Callable[[str, str], bytes]]:
        key, wrapped = keys.new_person(number)
        return wrapped, key.seal

    return Writer(person, lambda kind, value: keys.blind(kind, f"\x1f{value}"))


def plain() -> Writer:
    """As the baseline does: readable, and as long."""
    return Writer(lambda number: (KEY, lambda column, value: stored(value) or b""), lambda kind, value: hash_of(value))


def mobile(number: int) -> str | None:
    """Person `number`'s mobile: in a range that belongs to no operator."""
    return None if number % WITHOUT_MOBILE == WITHOUT_MOBILE - 1 else f"154{number:08}"


async def people(stage: Stage, tenant: Tenant, count: int, *, writer: Writer | None = None) -> People:
    """Customers over three years until now: nine in ten with a mobile, the others with a card number, some with both.

    Every chunk is a transaction.
    """
    async with stage.owner() as owner:
        first = await first_number(owner, count)
        for start in range(0, count, CHUNK):
            ready = writer or sealed(tenant.shop.keys)
            await copy_people(owner, tenant.shop.id, ready, first, range(start, min(start + CHUNK, count)))
    return People(first, count)


async def first_number(owner: Any, count: int) -> int:
    """The first of so many customer numbers that are now taken."""
    first: int = await owner.fetchval("select nextval('customer_ids')")
    await owner.execute("select setval('customer_ids', $1)", first + count)
    return first


async def copy_people(
    owner: Any, shop_id: int, writer: Writer, first: int, numbers: range, end: datetime | None = None
) -> None:
    """One chunk of people, in a transaction. `end`: when the last of them came; now by default."""
    rows = list(_rows(shop_id, writer, first, numbers, end or _end()))
    async with owner.transaction():
        await owner.copy_records_to_table("customers", columns=_CUSTOMERS, records=[row for row, _, _ in rows])
        await owner.copy_records_to_table(
            "identities", columns=_IDENTITIES, records=[one for _, held, _ in rows for one in held]
        )
        await owner.copy_records_to_table(
            "person_keys",
            schema_name="vault",
            columns=("shop_id", "customer_id", "wrapped"),
            records=[key for _, _, key in rows],
        )


async def orders(stage: Stage, tenant: Tenant, loaded: People, count: int, days: int = YEARS * 365) -> None:
    """About so many paid orders over so many days until now, and refunds of some."""
    async with stage.owner() as owner, owner.transaction():
        await add_orders(owner, tenant.shop.id, loaded, range(loaded.count), count / loaded.count, days=days)
        await add_refunds(owner, tenant.shop.id)


async def add_orders(
    owner: Any,
    shop_id: int,
    loaded: People,
    numbers: range,
    each: float,
    end: datetime | None = None,
    seed: float = 0.42,
    days: int = YEARS * 365,
) -> None:
    """What the people with these numbers bought: on average so many orders, of everybody."""
    await owner.execute("select setseed($1)", seed)
    await owner.execute(
        _ORDERS, shop_id, loaded.first, numbers.start, numbers.stop - 1, end or _end(), days, max(each, 1.0)
    )


async def add_refunds(owner: Any, shop_id: int) -> None:
    """Refunds of three orders in a hundred."""
    await owner.execute(_REFUNDS, shop_id)


async def lines(stage: Stage, tenant: Tenant) -> None:
    """What was bought, of half of the orders."""
    async with stage.owner() as owner:
        await owner.execute(_LINES, tenant.shop.id)


async def events(stage: Stage, tenant: Tenant, loaded: People, count: int) -> None:
    """What people did within a year, in months as they are made with time."""
    async with stage.owner() as owner:
        await owner.execute("select setseed(0.24)")
        await owner.execute(_EVENTS, tenant.shop.id, loaded.first, loaded.count, _end(), count)
        await make_months(owner, _end())


async def same_orders(stage: Stage, source: tuple[Tenant, People], target: tuple[Tenant, People]) -> None:
    """The orders and refunds of one shop, in another that has the same people."""
    async with stage.owner() as owner, owner.transaction():
        shift = target[1].first - source[1].first
        await owner.execute(_COPY_ORDERS, source[0].shop.id, target[0].shop.id, shift)
        await add_refunds(owner, target[0].shop.id)


async def same_events(stage: Stage, source: tuple[Tenant, People], target: tuple[Tenant, People]) -> None:
    """The events of one shop, in another that has the same people."""
    async with stage.owner() as owner:
        shift = target[1].first - source[1].first
        await owner.execute(_COPY_EVENTS, source[0].shop.id, target[0].shop.id, shift)


async def settle(stage: Stage) -> None:
    """Statistics and visibility maps as a database has them that was not filled a second ago."""
    async with stage.owner() as owner:
        await owner.execute("vacuum (analyze)")
        await owner.execute("checkpoint")


@cache
def _end() -> datetime:
    """The same for every shop of a run, so that their days are the same."""
    return datetime.now(UTC).replace(microsecond=0)


def _rows(
    shop_id: int, writer: Writer, first: int, numbers: range, end: datetime
) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]], tuple[Any, ...]]]:
    """A customer's row, identities and key, one person after the other."""
    # Ten million people are also ten million of these lines: `int(draw() * n)` takes a fifth of `randrange(n)`.
    draw = Random(f"{_SEED} {numbers.start}").random  # noqa: S311 repeatable, protects nothing
    person, blind = writer.person, writer.blind
    span = YEARS * 365 * 86_400
    for index in numbers:
        number = first + index
        wrapped, seal = person(number)
        age = int(draw() * span)
        created = end - timedelta(seconds=age)
        digits = mobile(index)
        e164 = "+86" + digits if digits else None
        held = [("mobile", e164)] if e164 else []
        if index % 3 == 0 or not e164:
            held.append(("card_no", f"C{index:09}"))
        customer = (
            shop_id,
            number,
            seal("customers.name", _NAMES[int(draw() * len(_NAMES))]),
            seal("customers.mobile", e164) if e164 else None,
            int(draw() * 3),
            date(1970 + int(draw() * 35), 1 + int(draw() * 12), 1 + int(draw() * 28)),
            "310104",
            1 + int(draw() * STORES),
            1000,
            digits is not None,
            # Four in ten join, at once or within a season.
            created + timedelta(seconds=int(draw() * min(age, _SEASON))) if draw() < 0.4 else None,
            created,
            created,
            created,
        )
        yield (
            customer,
            [
                (shop_id, kind, blind(kind, value), number, number, seal("identities.value", value), created, created)
                for kind, value in held
            ],
            (shop_id, number, wrapped),
        )
