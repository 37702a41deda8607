"""What one of the demo brand's people buys, when, where and for how much."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from random import Random

from app.demo.catalogue import CATEGORIES, PRODUCTS, STORES, Category, Product
from app.demo.people import CHINA, MINI_PROGRAM, OFFLINE, THIRD_PARTY, WECOM, Payload, Person
from app.demo.seasons import Calendar, season

CHANNEL_NAMES = {OFFLINE: "store", MINI_PROGRAM: "mini_program", WECOM: "wecom", THIRD_PARTY: "third_party"}
_KNOWN_BY = {
    OFFLINE: ("mobile", "external_id"),
    MINI_PROGRAM: ("wechat_openid", "wechat_unionid", "mobile"),
    WECOM: ("wecom_external_userid", "wechat_unionid", "mobile"),
    THIRD_PARTY: ("external_id", "mobile"),
}
_RANGES: dict[str, list[Product]] = {
    category.name: [product for product in PRODUCTS if product.category is category] for category in CATEGORIES
}
# The first article of a range sells best.
_POPULARITY = {name: tuple(accumulate(1 / (n + 1.5) for n in range(len(range_)))) for name, range_ in _RANGES.items()}
_HOURS = tuple(range(10, 24))
_STORE_HOURS = tuple(accumulate((3, 4, 5, 5, 6, 7, 7, 6, 8, 9, 8, 5, 0, 0)))
_ONLINE_HOURS = tuple(accumulate((4, 4, 6, 5, 3, 3, 3, 3, 4, 5, 8, 10, 11, 7)))


def orders(random: Random, person: Person, calendar: Calendar, first: date, end: date) -> Iterator[Payload]:
    """The person's orders from `first` to the day before `end`, without order numbers, in order of day."""
    day = first
    ran_out: Category | None = None
    while day < end:
        order, bought = _order(random, person, calendar.is_festival(day), day, end, ran_out)
        yield order
        if random.random() < person.leaves:
            return
        ran_out = min(bought, key=lambda category: category.lasts_days)
        wait = ran_out.lasts_days * person.pace * random.lognormvariate(0, 0.35)
        earliest = day + timedelta(days=3)
        day = calendar.settle(random, max(earliest, day + timedelta(days=round(wait))), earliest)


def _order(
    random: Random, person: Person, festival: bool, day: date, end: date, ran_out: Category | None
) -> tuple[Payload, list[Category]]:
    channel = _channel(random, person)
    basket = _basket(random, person, day, ran_out)
    total = sum(product.price_fen * quantity for product, quantity in basket.items())
    hours = _STORE_HOURS if channel == OFFLINE else _ONLINE_HOURS
    hour = random.choices(_HOURS, cum_weights=hours)[0]
    paid_at = datetime.combine(day, time(hour, random.randrange(60), random.randrange(60)), CHINA)
    discount = _discount_fen(random, total, festival, channel)
    order: Payload = {
        "identities": known_by(person, channel),
        "channel": CHANNEL_NAMES[channel],
        "status": _status(channel, (end - day).days),
        "paid_at": paid_at.isoformat(),
        "amount_fen": total - discount,
        "discount_fen": discount,
        "currency": "CNY",
        "items": [
            {
                "sku": product.sku,
                "name": product.name,
                "category": product.category.name,
                "quantity": quantity,
                "price_fen": product.price_fen,
            }
            for product, quantity in basket.items()
        ],
        "version": 1,
    }
    if channel in (OFFLINE, WECOM):
        order["store_id"] = person.store.store_id
        if channel == OFFLINE and random.random() < 0.1:
            order["store_id"] = random.choice(STORES).store_id
    return order, [product.category for product in basket]


def _channel(random: Random, person: Person) -> int:
    """Mostly where they came from; else wherever they are known."""
    if random.random() < 0.8:
        return person.channel
    return random.choice(
        [channel for channel, kinds in _KNOWN_BY.items() if kinds[0] in person.identities] or [person.channel]
    )


def known_by(person: Person, channel: int) -> list[Payload]:
    """The identities, at most two, that the person shows in a channel."""
    found = [person.identities[kind] for kind in _KNOWN_BY[channel] if kind in person.identities]
    return [dict(identity) for identity in (found or person.identities.values())][:2]


def _basket(random: Random, person: Person, day: date, ran_out: Category | None) -> dict[Product, int]:
    """One to five articles. What ran out is usually the first."""
    basket: dict[Product, int] = {}
    size = random.choices((1, 2, 3, 4, 5), cum_weights=(38, 68, 86, 95, 100))[0]
    tastes = person.tastes[season(day)]
    for place in range(size):
        category = random.choices(CATEGORIES, cum_weights=tastes)[0]
        if place == 0 and ran_out and random.random() < 0.6:
            category = ran_out
        product = pick(random, category)
        basket[product] = 2 if random.random() < (0.3 if category.lasts_days <= 45 else 0.08) else 1
    return basket


def pick(random: Random, category: Category) -> Product:
    """One of the category's articles, the first ones oftener."""
    return random.choices(_RANGES[category.name], cum_weights=_POPULARITY[category.name])[0]


def _discount_fen(random: Random, total: int, festival: bool, channel: int) -> int:
    """In a festival 50 yuan off every full 300; else sometimes a coupon, in a store often the members' 5 per cent."""
    if festival:
        return total // 30000 * 5000
    if random.random() < 0.15 and total > 20000:
        return 2000
    return total * 5 // 100 if channel == OFFLINE and random.random() < 0.4 else 0


def _status(channel: int, days_ago: int) -> str:
    if channel == OFFLINE or days_ago > 7:
        return "completed"
    return "paid" if days_ago <= 2 else "shipped"
