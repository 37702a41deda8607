"""Fills a shop fast and honestly: rows go in by COPY past the API, but every sealed value can really be opened.

The same seed gives every shop the same people, so that a shop of sealed values and the baseline's shop of plain ones
differ in nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from random import Random
from typing import Any, Final

from app.core.crypto import ShopKeys
from benchmarks.bare import KEY, hash_of, stored
from benchmarks.stage import Stage, Tenant

YEARS: Final = 3
STORES: Final = 12
WITHOUT_MOBILE: Final = 10  # every tenth person has none
_SEED: Final = 20_260
_CHUNK: Final = 20_000
_SURNAMES: Final = "王李张刘陈杨赵黄周吴"
_GIVEN: Final = ("芳", "秀英", "敏", "静", "丽", "雨桐", "欣怡", "梓涵", "诗琪", "佳宁")

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
    """Customers with names, mobiles, card numbers and keys of their own, who came over three years."""
    async with stage.owner() as owner:
        # The sequence counts in blocks; the service goes on behind ours.
        first = int(await owner.fetchval("select nextval('customer_ids')"))
        await owner.execute("select setval('customer_ids', $1)", first + count)
        rows = _rows(tenant, first, count, writer or sealed(tenant.shop.keys))
        while chunk := list(islice(rows, _CHUNK)):
            await _copy(owner, "customers", _CUSTOMERS, [customer for customer, _, _ in chunk])
            await _copy(owner, "identities", _IDENTITIES, [one for _, held, _ in chunk for one in held])
            await owner.copy_records_to_table(
                "person_keys",
                schema_name="vault",
                columns=("shop_id", "customer_id", "wrapped"),
                records=[key for _, _, key in chunk],
            )
    return People(first, count)


async def orders(stage: Stage, tenant: Tenant, loaded: People, count: int) -> None:
    """Paid orders over three years until now, and refunds of some."""
    async with stage.owner() as owner, owner.transaction():
        await owner.execute("select setseed(0.42)")
        await owner.execute(_ORDERS, tenant.shop.id, loaded.first, loaded.count, _end(), count)
        await owner.execute(_REFUNDS, tenant.shop.id)


async def same_orders(stage: Stage, source: tuple[Tenant, People], target: tuple[Tenant, People]) -> None:
    """The orders and refunds of one shop, in another that has the same people."""
    async with stage.owner() as owner, owner.transaction():
        shift = target[1].first - source[1].first
        await owner.execute(_COPY_ORDERS, source[0].shop.id, target[0].shop.id, shift)
        await owner.execute(_REFUNDS, target[0].shop.id)


async def settle(stage: Stage) -> None:
    """Statistics and visibility maps as a database has them that was not filled a second ago."""
    async with stage.owner() as owner:
        await owner.execute("vacuum (analyze)")
        await owner.execute("checkpoint")


@cache
def _end() -> datetime:
    """The same for every shop of a run, so that their days are the same."""
    return datetime.now(UTC).replace(microsecond=0)


def _rows(tenant: Tenant, first: int, count: int, writer: Writer) -> Iterator[tuple[Any, list[Any], Any]]:
    """A customer's row, identities and key, one person after the other."""
    random, shop_id, end = Random(_SEED), tenant.shop.id, _end()  # noqa: S311 repeatable, protects nothing
    names = [surname + given for surname in _SURNAMES for given in _GIVEN]
    span = YEARS * 365 * 86_400
    for index in range(count):
        number = first + index
        wrapped, seal = writer.person(number)
        created = end - timedelta(seconds=random.randrange(span))
        digits = mobile(index)
        e164 = "+86" + digits if digits else None
        held = [("mobile", e164)] if e164 else []
        if index % 3 == 0 or not e164:
            held.append(("card_no", f"C{index:09}"))
        customer = (
            shop_id,
            number,
            seal("customers.name", random.choice(names)),
            seal("customers.mobile", e164) if e164 else None,
            random.randrange(3),
            date(1970 + random.randrange(35), 1 + random.randrange(12), 1 + random.randrange(28)),
            "310104",
            1 + random.randrange(STORES),
            1000,
            digits is not None,
            created if random.random() < 0.4 else None,
            created,
            created,
            created,
        )
        yield (
            customer,
            [
                (
                    shop_id,
                    kind,
                    writer.blind(kind, value),
                    number,
                    number,
                    seal("identities.value", value),
                    created,
                    created,
                )
                for kind, value in held
            ],
            (shop_id, number, wrapped),
        )


async def _copy(owner: Any, table: str, columns: Sequence[str], records: list[Any]) -> None:
    await owner.copy_records_to_table(table, columns=columns, records=records)
