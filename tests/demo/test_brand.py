"""The demo brand is the same every time, whole, and shaped like a beauty chain's business."""

import time
from collections import Counter
from datetime import date, datetime
from statistics import mean

import phonenumbers
import pytest
from pydantic import TypeAdapter

from app.demo.brand import Brand, generate
from app.demo.catalogue import PRODUCTS, STORES
from app.events.declarations import BUILT_IN, problem
from app.events.schemas import EventWrite

END_ON = date(2026, 3, 1)
KINDS = {"mobile", "email", "wechat_openid", "wechat_unionid", "wecom_external_userid", "external_id"}


@pytest.fixture(scope="module")
def brand() -> Brand:
    return generate(7, END_ON)


def owners(brand: Brand) -> dict[tuple[str, str, str], int]:
    """Which customer, by position, has an identity."""
    return {
        (identity["kind"], identity.get("scope", ""), identity["value"]): index
        for index, customer in enumerate(brand.customers)
        for identity in customer["identities"]
    }


def buyers(brand: Brand) -> Counter[int | None]:
    """Orders by customer position; None for people who are not customers."""
    known = owners(brand)
    return Counter(
        known.get((identity["kind"], identity.get("scope", ""), identity["value"]))
        for order in brand.orders
        for identity in order["identities"][:1]
    )


def test_the_same_arguments_give_the_same_brand() -> None:
    one = generate(1, END_ON, members=200)
    assert one == generate(1, END_ON, members=200)
    assert one != generate(2, END_ON, members=200)
    assert one.orders != generate(1, date(2026, 3, 2), members=200).orders
    assert one.events != generate(2, END_ON, members=200).events


def test_size_and_speed(brand: Brand) -> None:
    started = time.process_time()
    generate(8, END_ON)
    assert time.process_time() - started < 6  # about one second; the slack is for a busy machine
    assert len(brand.stores) == 12
    assert len(PRODUCTS) >= 60
    assert len(brand.customers) == 5000
    assert 25_000 <= len(brand.orders) <= 45_000
    assert 300 <= len(brand.refunds) <= 1500
    assert 6_000 <= len(brand.events) <= 12_000  # what the start of a demo has time for


def test_everything_happened_in_the_three_years_before(brand: Brand) -> None:
    days = [order["paid_at"][:10] for order in brand.orders]
    assert days == sorted(days)
    assert days[0] >= "2023-03-01"
    assert days[-1] == "2026-02-28"
    assert max(refund["refunded_at"] for refund in brand.refunds) < "2026-03-01"
    assert all(customer["created_at"] <= customer["member_since"] < "2026-03-01" for customer in brand.customers)


def test_bodies_have_the_shapes_of_the_calls(brand: Brand) -> None:
    stores = {store.store_id for store in STORES}
    for customer in brand.customers:
        assert customer["store_id"] in stores
        assert customer["source_channel"] in (1000, 102, 1900, 2000)
        assert customer["gender"] in (0, 1, 2)
        assert customer["identities"]
        assert {identity["kind"] for identity in customer["identities"]} <= KINDS
        assert "birthday" not in customer or "1940" < customer["birthday"] < "2010"
    prices = {product.sku: product.price_fen for product in PRODUCTS}
    categories = {product.sku: product.category.name for product in PRODUCTS}
    for order in brand.orders:
        assert len(order["order_no"]) <= 64
        assert order.get("store_id") in stores | {None}
        assert 1 <= len(order["items"]) <= 5
        listed = sum(item["quantity"] * item["price_fen"] for item in order["items"])
        assert 0 < order["amount_fen"] <= listed
        assert order["amount_fen"] + order["discount_fen"] == listed
        assert all(item["price_fen"] == prices[item["sku"]] for item in order["items"])
        assert all(item["category"] == categories[item["sku"]] for item in order["items"])
        assert datetime.fromisoformat(order["paid_at"]).utcoffset() is not None
    orders = {order["order_no"]: order for order in brand.orders}
    assert len(orders) == len(brand.orders)
    assert len({refund["refund_no"] for refund in brand.refunds}) == len(brand.refunds)
    for refund in brand.refunds:
        assert 0 < refund["amount_fen"] <= orders[refund["order_no"]]["amount_fen"]
        assert refund["refunded_at"] > orders[refund["order_no"]]["paid_at"]


def test_no_identity_belongs_to_two_and_no_number_can_ring(brand: Brand) -> None:
    named = [
        (identity["kind"], identity["value"]) for customer in brand.customers for identity in customer["identities"]
    ]
    assert len(named) == len(set(named))
    for kind, value in named[::50]:
        if kind == "mobile":
            number = phonenumbers.parse(value, "CN")
            assert value.startswith("154")
            assert phonenumbers.is_possible_number(number)
            assert not phonenumbers.is_valid_number(number)
        if kind == "email":
            assert value.endswith("@example.com")


def test_an_orders_identities_are_one_persons(brand: Brand) -> None:
    known = owners(brand)
    for order in brand.orders:
        people = {known.get((each["kind"], each.get("scope", ""), each["value"])) for each in order["identities"]}
        assert len(people) == 1
        if people == {None}:
            assert [each["kind"] for each in order["identities"]] == ["mobile"]


def test_nobody_buys_before_joining(brand: Brand) -> None:
    known = owners(brand)
    for order in brand.orders:
        identity = order["identities"][0]
        index = known.get((identity["kind"], identity.get("scope", ""), identity["value"]))
        assert index is None or brand.customers[index]["member_since"] <= order["paid_at"]


def test_events_are_taken_as_they_are_and_are_the_last_years(brand: Brand) -> None:
    adapter = TypeAdapter(list[EventWrite])
    events = adapter.validate_python(brand.events)
    assert {event.type for event in events} == BUILT_IN
    assert all(problem(event.type, event.properties, None) is None for event in events)
    assert len({event.event_id for event in events}) == len(events)
    moments = [event["occurred_at"] for event in brand.events]
    assert moments == sorted(moments)
    assert "2025-03-01" <= moments[0] < moments[-1] < "2026-03-01"
    stores = {store.store_id for store in STORES}
    assert {event.store_id for event in events if event.type == "visit"} <= stores


def test_events_are_of_members_who_have_joined(brand: Brand) -> None:
    known = owners(brand)
    for event in brand.events:
        people = {known.get((each["kind"], each.get("scope", ""), each["value"])) for each in event["identities"]}
        (person,) = people
        assert person is not None
        assert brand.customers[person]["member_since"] <= event["occurred_at"]


def test_there_is_something_to_see_of_every_kind_of_person(brand: Brand) -> None:
    known, bought = owners(brand), buyers(brand)
    active = Counter(
        known[(each["kind"], each.get("scope", ""), each["value"])]
        for event in brand.events
        for each in event["identities"][:1]
    )
    leads = [person for person in range(len(brand.customers)) if person not in bought]
    assert 0.4 < mean(person in active for person in leads) < 0.8, "of those who never bought, some show interest"
    once = [person for person, count in bought.items() if count == 1]
    assert 0.05 < mean(person in active for person in once) < 0.5, "and some who bought once come back to look"
    assert max(active.values()) > 10
    shares = [order["discount_fen"] / (order["amount_fen"] + order["discount_fen"]) for order in brand.orders]
    assert 0.2 < mean(share > 0 for share in shares) < 0.5
    assert max(shares) < 0.5


def test_people_differ(brand: Brand) -> None:
    counts = buyers(brand)
    strangers = counts.pop(None)
    orders = list(counts.values())
    assert strangers > 300
    assert 0.05 < 1 - len(orders) / len(brand.customers) < 0.2
    assert 0.1 < sum(count == 1 for count in orders) / len(orders) < 0.4
    assert 5 < mean(orders) < 9
    assert max(orders) > 30


def test_the_year_has_its_festivals_and_seasons(brand: Brand) -> None:
    by_day = Counter(order["paid_at"][5:10] for order in brand.orders)
    usual = mean(by_day.values())
    assert by_day["06-18"] > 2 * usual
    assert by_day["11-11"] > 4 * usual
    assert by_day["10-15"] < usual
    sunscreen = Counter(
        order["paid_at"][5:7] for order in brand.orders for item in order["items"] if item["sku"].startswith("CY-SU")
    )
    assert sunscreen["07"] > 2 * sunscreen["01"]
