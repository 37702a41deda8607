"""The demo brand's people: who they are, how they are known, and how they tend to buy.

Mobile numbers start with 154. China sets no numbers aside for fiction, and what `phonenumbers` calls valid for CN are
ranges given to operators, so a valid number could ring at somebody's. 154 is the one gap in 150 to 159: `phonenumbers`
knows no operator for it and calls it possible, not valid. Should it ever be assigned, change MOBILE_PREFIX.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from itertools import accumulate
from random import Random
from typing import Any

from app.demo.catalogue import CATEGORIES, FEMALE_GIVEN, MALE_GIVEN, REMARKS, STORES, STREETS, SURNAMES, Store

Payload = dict[str, Any]

CHINA = timezone(timedelta(hours=8))
MOBILE_PREFIX = "154"
APPID = "wxdemo0000chengyu"
OFFLINE, MINI_PROGRAM, WECOM, THIRD_PARTY = 1000, 102, 1900, 2000
CHANNELS = (OFFLINE, MINI_PROGRAM, WECOM, THIRD_PARTY)

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
_STORE_WEIGHTS = tuple(accumulate(store.weight for store in STORES))


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may buy.

    `identities` by kind; `channel` is where they came from; `pace` stretches the days a product lasts; `leaves` is the
    chance that a purchase is the last; `tastes` are cumulative weights over CATEGORIES for each season.
    """

    identities: dict[str, Payload]
    channel: int
    store: Store
    joined: date
    pace: float
    leaves: float
    tastes: tuple[tuple[float, ...], ...]


def member(random: Random, number: int, mobile: str, joined: date) -> tuple[Person, Payload]:
    """A registered member with everything the shop knows, and their body for the customer call."""
    channel = random.choices(CHANNELS, cum_weights=(50, 80, 92, 100))[0]
    person = _person(random, _identities(random, number, mobile, channel), channel, joined)
    since = datetime.combine(joined, time(9, random.randrange(60), random.randrange(60)), CHINA)
    # Followers of the mini program or of an assistant are known before they join.
    known = since - timedelta(days=random.randrange(31)) if channel in (MINI_PROGRAM, WECOM) else since
    female = random.random() < 0.88
    given = FEMALE_GIVEN if female else MALE_GIVEN
    customer: Payload = {
        "identities": list(person.identities.values()),
        "name": random.choice(SURNAMES) + "".join(random.sample(given, random.choice((1, 2, 2)))),
        "gender": (2 if female else 1) if random.random() < 0.95 else 0,
        "store_id": person.store.store_id,
        "source_channel": channel,
        "area_code": person.store.area_code,
        "member_since": since.isoformat(),
        "created_at": known.isoformat(),
    }
    if random.random() < 0.85:
        customer["birthday"] = date.fromordinal(_typical_birth(random, joined)).isoformat()
    if random.random() < 0.25:
        street, house, room = random.choice(STREETS), random.randrange(1, 300), random.randrange(101, 2900)
        customer["address"] = f"{person.store.city}市{street}路{house}号{room}室"
    if random.random() < 0.08:
        customer["remark"] = random.choice(REMARKS)
    return person, customer


def stranger(random: Random, mobile: str, first_visit: date) -> Person:
    """Someone who buys and never registers: all that is known is the mobile on the receipt."""
    channel = random.choices((OFFLINE, THIRD_PARTY), cum_weights=(60, 100))[0]
    person = _person(random, {"mobile": {"kind": "mobile", "value": mobile}}, channel, first_visit)
    return Person(person.identities, channel, person.store, first_visit, person.pace, 0.6, person.tastes)


def _person(random: Random, identities: dict[str, Payload], channel: int, joined: date) -> Person:
    likes = [category.weight * random.gammavariate(1.2, 1) for category in CATEGORIES]
    return Person(
        identities=identities,
        channel=channel,
        store=random.choices(STORES, cum_weights=_STORE_WEIGHTS)[0],
        joined=joined,
        pace=0.6 / random.gammavariate(2.0, 0.5) + 0.25,
        leaves=random.betavariate(1.1, 9.0),
        tastes=(
            tuple(accumulate(likes)),
            tuple(accumulate(like * category.summer for like, category in zip(likes, CATEGORIES, strict=True))),
            tuple(accumulate(like * category.winter for like, category in zip(likes, CATEGORIES, strict=True))),
        ),
    )


def _identities(random: Random, number: int, mobile: str, channel: int) -> dict[str, Payload]:
    """How a member is known: always by their channel's own identity, often by their mobile, seldom by e-mail."""
    found: dict[str, Payload] = {}
    if random.random() < {OFFLINE: 1.0, MINI_PROGRAM: 0.65, WECOM: 0.5, THIRD_PARTY: 0.7}[channel]:
        found["mobile"] = {"kind": "mobile", "value": mobile}
    if channel == OFFLINE:
        found["external_id"] = {"kind": "external_id", "value": f"pos:{600000 + number}", "scope": "pos"}
    elif channel == THIRD_PARTY:
        found["external_id"] = {"kind": "external_id", "value": f"mall:{800000 + number}", "scope": "mall"}
    if channel == WECOM:
        found["wecom_external_userid"] = {"kind": "wecom_external_userid", "value": "wmdemo" + _token(random, 26)}
    if channel == MINI_PROGRAM or (channel == OFFLINE and random.random() < 0.2):
        found["wechat_openid"] = {"kind": "wechat_openid", "value": "odemo" + _token(random, 23), "scope": APPID}
    if channel == WECOM or "wechat_openid" in found:
        found["wechat_unionid"] = {"kind": "wechat_unionid", "value": "udemo" + _token(random, 23)}
    if random.random() < 0.12:
        # Reserved for examples by RFC 2606: no mail arrives.
        found["email"] = {"kind": "email", "value": f"member{number:05}@example.com"}
    return found


def _token(random: Random, length: int) -> str:
    return "".join(random.choices(_ALPHABET, k=length))


def _typical_birth(random: Random, joined: date) -> int:
    years = min(max(random.gauss(30, 8), 18), 68)
    return joined.toordinal() - int(years * 365.25)
