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

# Buyers are skewed as they are in shops: a few buy often, some never did. 3 % of orders are given back.
_ORDERS: Final = """
    insert into orders (shop_id, order_no, customer_id, origin_customer_id, identity_kind, identity_hash, store_id,
                        channel, status, paid_at, amount_fen, currency, source_version, payload_hash, received_at)
    select $1, 'B' || n, customer_id, customer_id, 'mobile', sha256(n::text::bytea), 1 + n % 12, 'store',
           case when n % 50 = 0 then 'closed' else 'completed' end, paid_at, amount_fen, 'CNY', 0,
           sha256(n::text::bytea), paid_at
    from (
        select n, $2 + floor($3 * power(random(), 1.6))::bigint as customer_id,
               $4::timestamptz - random() * interval '1095 days' as paid_at,
               (1000 + floor(50000 * power(random(), 3)))::bigint as amount_fen
        from generate_series($5::int, $6::int) as n
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
    insert into orders
    select $2, order_no, customer_id + $3, origin_customer_id + $3, identity_kind, identity_hash, store_id, channel,
           status, paid_at, amount_fen, currency, source_version, payload_hash, received_at
    from orders where shop_id = $1
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


async def orders(stage: Stage, tenant: Tenant, loaded: People, count: int) -> None:
    """Paid orders over three years until now, and refunds of some."""
    async with stage.owner() as owner, owner.transaction():
        await add_orders(owner, tenant.shop.id, loaded, range(1, count + 1))
        await add_refunds(owner, tenant.shop.id)


async def add_orders(
    owner: Any, shop_id: int, loaded: People, numbers: range, end: datetime | None = None, seed: float = 0.42
) -> None:
    """Orders with these numbers, by whoever of the people bought."""
    await owner.execute("select setseed($1)", seed)
    await owner.execute(_ORDERS, shop_id, loaded.first, loaded.count, end or _end(), numbers.start, numbers.stop - 1)


async def add_refunds(owner: Any, shop_id: int) -> None:
    """Refunds of three orders in a hundred."""
    await owner.execute(_REFUNDS, shop_id)


async def same_orders(stage: Stage, source: tuple[Tenant, People], target: tuple[Tenant, People]) -> None:
    """The orders and refunds of one shop, in another that has the same people."""
    async with stage.owner() as owner, owner.transaction():
        shift = target[1].first - source[1].first
        await owner.execute(_COPY_ORDERS, source[0].shop.id, target[0].shop.id, shift)
        await add_refunds(owner, target[0].shop.id)


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
