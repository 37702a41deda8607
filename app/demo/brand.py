"""A deterministic, invented beauty chain: stores, members, three years of purchases and one of what else they did.

People buy at paces of their own (an inverse gamma), stop at a chance of their own after each purchase (a beta), buy
again what has run out, and follow the calendar: 38, 618, 双11 and 双12 pull purchases, Spring Festival delays them.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from random import Random

from app.demo import purchases, visits
from app.demo.catalogue import STORES, Store
from app.demo.people import MOBILE_PREFIX, Payload, Person, member, stranger
from app.demo.seasons import Calendar

YEARS = 3
# Of the members: those who never bought; beside them: buyers who never registered.
NEVER_BOUGHT = 0.1
STRANGERS = 0.08


@dataclass(frozen=True, slots=True)
class Brand:
    """The whole chain: all but the stores are bodies as the batch calls, and the one for refunds, take them.

    Orders, refunds and events stand in order of time, and within the brand every number and identity occurs once. Times
    carry +08:00.
    """

    stores: tuple[Store, ...]
    customers: list[Payload]
    orders: list[Payload]
    refunds: list[Payload]
    events: list[Payload]


def generate(seed: int, end_on: date, members: int = 5000) -> Brand:
    """The chain as it stood at the start of `end_on`: orders fill the three years up to the day before, events one.

    The same arguments always give the same brand. 5,000 members make about 32,000 orders in about a second.
    """
    random = Random(seed)  # noqa: S311  repeatable on purpose, protects nothing
    # Their own dice: what people do beside buying leaves what they buy as it is.
    beside = Random(f"{seed} beside")  # noqa: S311  as above
    start_on = end_on - timedelta(days=365 * YEARS)
    calendar = Calendar(start_on, end_on)
    strangers = int(members * STRANGERS)
    mobiles = [f"{MOBILE_PREFIX}{number:08}" for number in random.sample(range(10**8), members + strangers)]
    customers: list[Payload] = []
    orders: list[Payload] = []
    events: list[Payload] = []
    for number, mobile in enumerate(mobiles[:members]):
        person, customer = member(random, number, mobile, _joined(random, calendar, start_on, end_on))
        customers.append(customer)
        bought: list[Payload] = []
        if random.random() >= NEVER_BOUGHT:
            first = _first_order(random, person, start_on)
            bought = list(purchases.orders(random, person, calendar, first, end_on))
        orders += bought
        events += visits.events(beside, person, bought, end_on)
    for mobile in mobiles[members:]:
        visit = start_on + timedelta(days=random.randrange(365 * YEARS))
        orders += purchases.orders(random, stranger(random, mobile, visit), calendar, visit, end_on)
    orders = _numbered(orders, "order_no", "CY", "paid_at")
    refunds = _refunds(random, orders, end_on)
    return Brand(STORES, customers, orders, refunds, _numbered(events, "event_id", "CYV", "occurred_at"))


def _joined(random: Random, calendar: Calendar, start_on: date, end_on: date) -> date:
    """A quarter joined in the two years before; the others since, more of them every year, many in festivals."""
    if random.random() < 0.25:
        return start_on - timedelta(days=random.randrange(1, 730))
    day = start_on + timedelta(days=int(random.random() ** 0.8 * 365 * YEARS))
    if random.random() < 0.3:
        day = calendar.settle(random, day, start_on)
    return min(day, end_on - timedelta(days=1))


def _first_order(random: Random, person: Person, start_on: date) -> date:
    """Half buy on the day they join; members from before the three years turn up within their first months."""
    if person.joined < start_on:
        return start_on + timedelta(days=random.randrange(100))
    return person.joined + timedelta(days=0 if random.random() < 0.5 else round(random.expovariate(1 / 25)))


def _numbered(told: list[Payload], number: str, prefix: str, at: str) -> list[Payload]:
    """Orders or events in order of time, each with a number that counts within its day."""
    told.sort(key=itemgetter(at))
    numbered = []
    for day, of_day in groupby(told, key=lambda one: one[at][:10]):
        for count, one in enumerate(of_day, start=1):
            numbered.append({number: f"{prefix}{day.replace('-', '')}{count:05}", **one})
    return numbered


def _refunds(random: Random, orders: list[Payload], end_on: date) -> list[Payload]:
    """A few orders come back within ten days, whole or in part, and never after the last day."""
    refunds = []
    for order in orders:
        chance = 0.012 if order["channel"] == "store" else 0.035
        if order["amount_fen"] == 0 or random.random() >= chance:
            continue
        refunded_at = datetime.fromisoformat(order["paid_at"]) + timedelta(minutes=random.randrange(60, 10 * 24 * 60))
        if refunded_at.date() >= end_on:
            continue
        item = random.choice(order["items"])
        part = min(item["price_fen"], order["amount_fen"])
        refunds.append(
            {
                "refund_no": f"RF{order['order_no']}",
                "order_no": order["order_no"],
                "amount_fen": order["amount_fen"] if random.random() < 0.6 else part,
                "refunded_at": refunded_at.isoformat(),
            }
        )
    return sorted(refunds, key=itemgetter("refunded_at", "refund_no"))
