"""What one of the demo brand's people does beside buying: looks, carts, favourites, questions, visits, campaigns."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from random import Random

from app.demo.catalogue import CATEGORIES, Category, Product
from app.demo.people import CHINA, MINI_PROGRAM, OFFLINE, THIRD_PARTY, WECOM, Payload, Person
from app.demo.purchases import CHANNEL_NAMES, known_by, pick
from app.demo.seasons import season

DAYS = 365  # what was done before was not kept
# How often somebody looks before they buy, by the channel they came from.
_LOOKED = {MINI_PROGRAM: 0.25, WECOM: 0.15, THIRD_PARTY: 0.12, OFFLINE: 0.06}
# How many come by without buying: of those who never bought, who bought lately, and who stayed away for half a year.
_NEVER, _LATELY, _LONG_AGO = 0.6, 0.3, 0.08
_LATELY_DAYS = 180
_QUESTIONS = ("成分", "肤质", "色号", "用法", "活动")
_BY_NAME = {category.name: category for category in CATEGORIES}


def events(random: Random, person: Person, orders: Sequence[Payload], end: date) -> Iterator[Payload]:
    """The person's events of the last year, without numbers and in no order.

    Before some purchases they looked at what they bought, in the days before. And some come by without buying: those
    who never bought, mostly lately, and those who did, since the last time.

    Args:
        orders: all of the person's, in order of day.
    """
    first = max(person.joined + timedelta(days=1), end - timedelta(days=DAYS))
    for order in orders:
        paid_at = datetime.fromisoformat(order["paid_at"])
        if paid_at.date() > first and random.random() < _LOOKED[person.channel]:
            moment = paid_at - timedelta(minutes=random.randrange(10, 3 * 24 * 60))
            if moment.date() >= first:
                wanted = [_BY_NAME[item["category"]] for item in order["items"]]
                yield from _visit(random, person, moment, wanted)
    last = date.fromisoformat(orders[-1]["paid_at"][:10]) if orders else None
    since = first if last is None else max(first, last + timedelta(days=1))
    if since < end and random.random() < _comes_by(last, end):
        for _ in range(1 + min(int(random.expovariate(0.8)), 5)):
            yield from _visit(random, person, _some_time(random, since, end), _liked(random, person, end))


def _comes_by(last: date | None, end: date) -> float:
    if last is None:
        return _NEVER
    return _LATELY if (end - last).days <= _LATELY_DAYS else _LONG_AGO


def _some_time(random: Random, since: date, end: date) -> datetime:
    """Of the days from `since` to the one before `end`, the later ones oftener."""
    days_ago = 1 + int((end - since).days * random.random() ** 1.3)
    clock = time(random.randrange(10, 23), random.randrange(60), random.randrange(60))
    return datetime.combine(end - timedelta(days=days_ago), clock, CHINA)


def _liked(random: Random, person: Person, day: date) -> list[Category]:
    return random.choices(CATEGORIES, cum_weights=person.tastes[season(day)], k=random.choice((1, 1, 2, 3)))


def _visit(random: Random, person: Person, moment: datetime, wanted: Sequence[Category]) -> Iterator[Payload]:
    """What one visit leaves behind: a few events, minutes apart."""
    if person.channel == OFFLINE and "wechat_openid" not in person.identities:
        yield _event(person, OFFLINE, "visit", moment, {}) | {"store_id": person.store.store_id}
        if random.random() < 0.2:
            yield _asked(random, person, OFFLINE, moment + timedelta(minutes=3))
        return
    channel = MINI_PROGRAM if person.channel == OFFLINE else person.channel
    if channel != THIRD_PARTY and random.random() < 0.12:
        yield _event(person, channel, "campaign_response", moment, {"campaign": f"{moment:%Y-%m}"})
    for number, category in enumerate(wanted):
        product, seen_at = pick(random, category), moment + timedelta(minutes=1 + 2 * number)
        yield _saw(person, channel, "view", seen_at, product)
        if random.random() < 0.25:
            yield _saw(person, channel, "cart", seen_at + timedelta(minutes=1), product)
        elif random.random() < 0.15:
            yield _saw(person, channel, "favourite", seen_at + timedelta(minutes=1), product)
    if random.random() < (0.5 if channel == WECOM else 0.06):
        yield _asked(random, person, channel, moment + timedelta(minutes=9))


def _saw(person: Person, channel: int, type_: str, moment: datetime, product: Product) -> Payload:
    said = {"sku": product.sku, "category": product.category.name, "price": product.price_fen / 100}
    return _event(person, channel, type_, moment, said)


def _asked(random: Random, person: Person, channel: int, moment: datetime) -> Payload:
    return _event(person, channel, "consult", moment, {"topic": random.choice(_QUESTIONS)})


def _event(person: Person, channel: int, type_: str, moment: datetime, properties: Payload) -> Payload:
    return {
        "type": type_,
        "identities": known_by(person, channel),
        "occurred_at": moment.isoformat(),
        "properties": properties,
        "source": CHANNEL_NAMES[channel],
    }
