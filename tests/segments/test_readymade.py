"""The ready-made rules, each asked of made-up customers: who must be found, and who must narrowly not be."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.access.shops import Shop
from app.core import clock
from app.segments.readymade import READY_MADE
from app.segments.rules.text.reading import read
from tests.conftest import Api, MakeApi

Work = Callable[[], Awaitable[None]]
PATH = "/v1/segments"
SLACK = timedelta(minutes=5)  # for the time that the test takes itself


def days(number: float) -> timedelta:
    """So many days ago, a little longer: in what begins there, out of what ends there."""
    return timedelta(days=number) + SLACK


def nearly(number: float) -> timedelta:
    """Not quite so many days ago."""
    return timedelta(days=number) - SLACK


def hours(number: float) -> timedelta:
    return days(number / 24)


def nearly_hours(number: float) -> timedelta:
    return nearly(number / 24)


@dataclass(frozen=True)
class Person:
    """Somebody's whole story, told by how long ago each thing was.

    Args:
        orders: when, and for how much.
        birthday_in: so many days ahead is their birthday.
    """

    registered: timedelta = timedelta(days=200)
    orders: tuple[tuple[timedelta, int], ...] = ()
    events: tuple[tuple[str, timedelta], ...] = ()
    mobile: bool = False
    birthday_in: int | None = None
    orders_closed: bool = False


def did(type_: str, *ago: timedelta) -> tuple[tuple[str, timedelta], ...]:
    return tuple((type_, one) for one in ago)


def bought(*ago: timedelta, fen: int = 1_000) -> tuple[tuple[timedelta, int], ...]:
    return tuple((one, fen) for one in ago)


def buyers(*fen: int) -> list[Person]:
    """Who bought long ago, for so much each."""
    return [Person(orders=bought(days(100), fen=one)) for one in fen]


RECENT = hours(2)
# Who is to be found, and who is not.
STORIES: dict[str, tuple[list[Person], list[Person]]] = {
    "high-value": (
        [Person(orders=bought(nearly(365), fen=90_000))],
        [
            *buyers(*range(1_000, 10_000, 1_000)),
            Person(orders=bought(days(10), fen=80_000)),
            Person(registered=days(500), orders=bought(days(365), fen=100_000)),
            *buyers(*range(1_100, 9_100, 1_000)),
        ],
    ),
    "potential": (
        [
            Person(orders=bought(nearly(30), fen=50_000)),
            Person(orders=bought(days(100), fen=50_000), events=did("view", nearly(30))),
        ],
        [
            Person(orders=bought(days(30), fen=50_000), events=did("view", days(30))),
            Person(orders=bought(RECENT, fen=90_000)),
            Person(orders=bought(RECENT, fen=95_000)),
            Person(orders=bought(RECENT, fen=500)),
            Person(events=did("view", RECENT)),
            *buyers(*range(1_000, 9_000, 1_000)),
        ],
    ),
    "dormant": (
        [Person(registered=days(300), orders=bought(days(181))), Person(registered=days(185))],
        [
            Person(registered=days(300), orders=bought(days(178))),
            Person(registered=days(300), orders=bought(days(181)), events=did("view", days(2))),
            Person(registered=days(400), orders=bought(days(366))),
        ],
    ),
    "first-order-nurture": (
        [Person(events=did("cart", days(1)), mobile=True), Person(registered=days(1), mobile=True)],
        [
            Person(registered=days(100), mobile=True),
            Person(orders=bought(days(1)), events=did("cart", days(2)), mobile=True),
            Person(events=did("view", days(100)), mobile=True),
        ],
    ),
    "new-without-order-3-days": (
        [
            Person(registered=days(3)),
            Person(registered=nearly(30), events=did("cart", RECENT)),
            Person(registered=days(4), orders=bought(days(2)), orders_closed=True),
        ],
        [
            Person(registered=nearly(3)),
            Person(registered=days(30)),
            Person(registered=days(4), orders=bought(days(1))),
        ],
    ),
    "dormant-30-days": (
        [
            Person(registered=days(30)),
            Person(orders=bought(days(30)), events=did("view", days(31))),
            Person(registered=days(1), orders=bought(days(40))),
        ],
        [
            Person(registered=nearly(30)),
            Person(orders=bought(nearly(30))),
            Person(orders=bought(days(100)), events=did("visit", nearly(30))),
        ],
    ),
    "churn-risk-60-days": (
        [Person(orders=bought(days(60), days(120))), Person(orders=bought(nearly(90)), events=did("view", RECENT))],
        [
            Person(orders=bought(nearly(60))),
            Person(orders=bought(days(90))),
            Person(orders=bought(days(70), RECENT)),
            Person(registered=days(70)),
        ],
    ),
    "churn-risk-90-days": (
        [Person(orders=bought(days(90))), Person(orders=bought(nearly(365), days(400)))],
        [
            Person(orders=bought(nearly(90))),
            Person(orders=bought(days(365))),
            Person(orders=bought(days(100), RECENT)),
            Person(registered=days(100)),
        ],
    ),
    "second-purchase": (
        [Person(orders=bought(days(20)), events=did("view", days(5), days(4), days(3), days(2), days(1)))],
        [
            Person(orders=bought(days(20))),
            Person(orders=bought(days(20)), events=did("view", days(25), days(24), days(23), days(22), days(21))),
            Person(orders=bought(days(100)), events=did("view", days(5), days(4), days(3), days(2), days(1))),
            Person(orders=bought(days(20), days(2)), events=did("view", days(5), days(4), days(3), days(1))),
            Person(events=did("view", days(5), days(4), days(3), days(2), days(1))),
        ],
    ),
    "birthday-in-7-days": (
        [Person(birthday_in=0), Person(birthday_in=7)],
        [Person(birthday_in=8), Person(birthday_in=-1), Person()],
    ),
    "viewed-without-buying-24-hours": (
        [
            Person(events=did("view", nearly_hours(24), hours(3), hours(2), hours(1))),
            Person(events=did("view", hours(4), hours(3), hours(2), hours(1)), orders=bought(hours(24))),
        ],
        [
            Person(events=did("view", hours(3), hours(2), hours(1))),
            Person(events=did("view", hours(24), hours(3), hours(2), hours(1))),
            Person(events=did("view", hours(5), hours(4), hours(3), hours(2)), orders=bought(hours(1))),
            Person(events=did("visit", hours(4), hours(3), hours(2), hours(1))),
        ],
    ),
    "cart-without-payment": (
        [
            Person(events=did("cart", hours(24))),
            Person(events=did("cart", nearly(7)), orders=bought(days(8))),
            Person(events=did("cart", days(3)), orders=bought(days(2)), orders_closed=True),
        ],
        [
            Person(events=did("cart", nearly_hours(24))),
            Person(events=did("cart", days(7))),
            Person(events=did("cart", days(3)), orders=bought(days(3) - timedelta(hours=2))),
            Person(events=did("cart", days(5)), orders=bought(days(2))),
            Person(events=did("view", days(2))),
        ],
    ),
    "frequent-active-30-days": (
        [
            Person(orders=bought(nearly(365), days(200), nearly(30))),
            Person(orders=bought(days(300), days(200), days(100)), events=did("view", nearly(30))),
        ],
        [
            Person(orders=bought(days(365), days(200), nearly(30))),
            Person(orders=bought(days(300), days(200), days(30))),
            Person(orders=bought(days(20), RECENT), events=did("view", RECENT)),
        ],
    ),
    "community-without-order": (
        [
            Person(events=did("community_join", days(100))),
            Person(events=did("community_join", RECENT), orders=bought(RECENT), orders_closed=True),
        ],
        [
            Person(events=did("community_join", days(100)), orders=bought(days(200))),
            Person(events=did("community_join", days(100)), orders=bought(RECENT)),
            Person(events=did("view", RECENT)),
        ],
    ),
    "activity-absent": (
        [
            Person(events=did("activity_signup", days(14))),
            Person(events=(*did("activity_signup", nearly(60)), *did("activity_attend", days(61), days(40)))),
        ],
        [
            Person(events=did("activity_signup", nearly(14))),
            Person(events=did("activity_signup", days(60))),
            Person(events=(*did("activity_signup", days(20)), *did("activity_attend", days(7)))),
            Person(events=did("activity_attend", days(20))),
        ],
    ),
}
SCORED = {"high-value", "potential", "dormant", "first-order-nurture", "second-purchase"}


async def tell(api: Api, shop: Shop, people: list[Person]) -> list[int]:
    """Tell the shop of these people. Returns their numbers."""
    now = datetime.now(UTC)

    def person(number: int) -> dict[str, Any]:
        return {"identities": [{"kind": "card_no", "value": f"C-{number}"}]}

    found = []
    for number, one in enumerate(people):
        told = person(number) | {"created_at": (now - one.registered).isoformat()}
        if one.mobile:
            told["identities"].append({"kind": "mobile", "value": f"1380000{number:04}"})
        if one.birthday_in is not None:
            told["birthday"] = _born(shop, one.birthday_in).isoformat()
        answer = await api.post("/v1/customers", told)
        assert answer.status_code == 201, answer.text
        found.append(int(answer.json()["id"]))
    orders = [
        person(number)
        | {"order_no": f"O-{number}-{n}", "paid_at": (now - ago).isoformat(), "amount_fen": fen}
        | {"status": "closed" if one.orders_closed else "paid"}
        for number, one in enumerate(people)
        for n, (ago, fen) in enumerate(one.orders)
    ]
    events = [
        person(number) | {"event_id": f"E-{number}-{n}", "type": type_, "occurred_at": (now - ago).isoformat()}
        for number, one in enumerate(people)
        for n, (type_, ago) in enumerate(one.events)
    ]
    for path, name, told_all in (("orders", "orders", orders), ("events", "events", events)):
        if told_all:
            answer = await api.post(f"/v1/{path}/batch", {name: told_all})
            assert answer.json()["created"] == len(told_all), answer.text
    return found


def _born(shop: Shop, ahead: int) -> date:
    day = clock.now().astimezone(shop.zone).date() + timedelta(days=ahead)
    return date(1988, day.month, day.day)  # a leap year has every day


@pytest.mark.parametrize("slug", [ready.slug for ready in READY_MADE])
async def test_who_is_found(slug: str, api: Api, shop: Shop, work: Work) -> None:
    ready = next(one for one in READY_MADE if one.slug == slug)
    inside, outside = STORIES[slug]
    assert len(inside) >= 1
    assert len(outside) >= 2
    if ready.needs:
        answer = await api.post(f"{PATH}/preview", {"text": ready.text})
        assert answer.json()["code"] == "rule_unfit", "without its declarations it cannot be asked"
    for type_, declaration in ready.needs.items():
        answer = await api.http.put(f"/v1/event-types/{type_}", json=declaration)
        assert answer.status_code == 200, answer.text
    numbers = await tell(api, shop, [*outside, *inside])
    if slug in SCORED:
        await work()
        assert (await api.post("/v1/triggers/rescore", {})).status_code == 202
        await work()
    expected = set(numbers[len(outside) :])
    for asked in ({"text": ready.text}, {"rule": ready.rule.model_dump(mode="json", by_alias=True)}):
        answer = await api.post(f"{PATH}/preview", {**asked, "sample": 20})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        found = {row["id"] for row in told["sample"]}
        places = {number: place for place, number in enumerate(numbers)}
        assert {places[number] for number in found} == {places[number] for number in expected}
        assert told["customers"] == len(expected)


def test_each_has_a_story_and_says_what_it_is() -> None:
    assert [*STORIES] == [ready.slug for ready in READY_MADE]
    for ready in READY_MADE:
        told = (ready.title_en, ready.title_zh, ready.description_en, ready.description_zh)
        assert all(told)


async def test_they_are_listed(api: Api, make_api: MakeApi, shop: Shop) -> None:
    answer = await (await make_api(shop, "segments:read")).get(f"{PATH}/ready-made")
    assert answer.status_code == 200, answer.text
    listed = {one["slug"]: one for one in answer.json()}
    assert [*listed] == [ready.slug for ready in READY_MADE]
    for ready in READY_MADE:
        told = listed[ready.slug]
        assert read(told["text_en"]) == read(told["text_zh"]) == ready.rule
        written = (await api.post(f"{PATH}/write", {"rule": told["rule"]})).json()
        assert {name: told[name] for name in written} == written
    assert listed["churn-risk-60-days"]["title_zh"] == "流失预警 60 天"
    assert listed["churn-risk-60-days"]["text_zh"] == "最近下单 早于 60天前 且 最近下单 在最近90天内"
    assert listed["birthday-in-7-days"]["masked"] is True
    assert [slug for slug, one in listed.items() if one["masked"]] == ["birthday-in-7-days"]
    needs = {slug: [need["event_type"] for need in one["needs"]] for slug, one in listed.items() if one["needs"]}
    assert needs == {
        "community-without-order": ["community_join"],
        "activity-absent": ["activity_signup", "activity_attend"],
    }
    declaration = listed["activity-absent"]["needs"][0]["declaration"]
    assert (await api.http.put("/v1/event-types/activity_signup", json=declaration)).status_code == 200
