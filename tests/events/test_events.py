"""Events over HTTP: each is kept once, for the right person, whatever its sender's clock says."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from app.changes.repository import CHANGES_BELL
from app.core import clock
from app.core.db import statement
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.service import Write
from app.events import service
from app.events.schemas import EventWrite
from tests.conftest import Api, MakeApi, Rows
from tests.events.examples import DEVICE, MOBILE, event, events_of
from workers.house import House

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOPS_SEEN = statement(text("select distinct shop_id from events"))


async def test_an_event_makes_the_person_and_its_row(api: Api, shop: Shop, rows: Rows) -> None:
    answer = await api.post("/v1/events", event(properties={"sku": "S1", "price": 19.9, "gift": None}, store_id=7))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"status": "created", "id": answer.json()["id"], "error": None}
    (stored,) = await events_of(rows, shop)
    (person,) = await rows("select id from customers where shop_id = $1", shop.id)
    assert (stored["customer_id"], stored["origin_customer_id"]) == (person["id"], person["id"])
    assert (str(stored["id"]), stored["type"], stored["store_id"]) == (answer.json()["id"], "view", 7)
    assert (stored["occurred_at"], stored["claimed_at"]) == (T0, None)
    assert abs(stored["received_at"] - clock.now()) < timedelta(minutes=1)
    assert orjson.loads(stored["properties"]) == {"sku": "S1", "price": 19.9}
    (held,) = await rows("select kind, value_hash from identities where shop_id = $1", shop.id)
    assert (stored["identity_kind"], stored["identity_hash"]) == (held["kind"], held["value_hash"])
    told = await rows("select kind from domain_events where shop_id = $1", shop.id)
    assert [row["kind"] for row in told] == ["customer.created"], "events themselves are told to nobody"
    (logged,) = await rows("select action, objects, customers from access_log where shop_id = $1", shop.id)
    assert logged == {"action": "change", "objects": 1, "customers": [person["id"]]}


async def test_a_retry_is_known_whatever_time_it_carries(api: Api, shop: Shop, rows: Rows) -> None:
    first = (await api.post("/v1/events", event())).json()
    before = await events_of(rows, shop)
    later = event(occurred_at="2027-01-01T00:00:00Z", type="cart", identities=[MOBILE])
    for retry in (event(), event(occurred_at="2019-01-01T00:00:00Z"), later):
        answer = await api.post("/v1/events", retry)
        assert answer.json() == {"status": "duplicate", "id": first["id"], "error": None}
    assert await events_of(rows, shop) == before
    assert len(await rows("select 1 from customers where shop_id = $1", shop.id)) == 1, "what is dropped makes nobody"


async def test_a_batch_keeps_the_good_rows(api: Api, shop: Shop, rows: Rows) -> None:
    batch: list[Any] = [event(event_id=f"B{number}") for number in range(5)]
    batch += [event(event_id="B0"), event(event_id="B9", type="fitting"), event(event_id="B8", identities=[]), 7]
    batch += [event(event_id="B7", occurred_at="soon"), event(event_id="bad one")]
    answer = (await api.post("/v1/events/batch", {"events": batch})).json()
    counts = {name: answer[name] for name in ("created", "duplicate", "invalid", "refused")}
    assert counts == {"created": 5, "duplicate": 1, "invalid": 1, "refused": 4}
    results = answer["results"]
    assert [row["index"] for row in results] == list(range(len(batch)))
    assert results[5] == {"index": 5, "status": "duplicate", "id": results[0]["id"], "error": None}
    assert results[6]["error"]["code"] == "type_undeclared"
    assert [results[index]["error"]["field"] for index in (7, 9, 10)] == ["identities", "occurred_at", "event_id"]
    again = (await api.post("/v1/events/batch", {"events": batch})).json()
    assert (again["created"], again["duplicate"], again["refused"]) == (0, 7, 4)
    assert [row["id"] for row in again["results"]] == [row["id"] for row in results]
    assert len(await events_of(rows, shop)) == 5
    assert len(await rows("select 1 from invalid_events where shop_id = $1", shop.id)) == 1
    assert len(await rows("select 1 from customers where shop_id = $1", shop.id)) == 1


async def test_a_thousand_at_once_and_not_one_more(api: Api, shop: Shop, rows: Rows) -> None:
    people = [[{"kind": "device", "value": f"d-{number % 300}"}] for number in range(1001)]
    batch = [event(event_id=f"E{number}", identities=people[number]) for number in range(1001)]
    assert (await api.post("/v1/events/batch", {"events": batch})).status_code == 422
    answer = (await api.post("/v1/events/batch", {"events": batch[:1000]})).json()
    assert answer["created"] == 1000, answer["results"][:3]
    assert len(await events_of(rows, shop)) == 1000
    assert len(await rows("select 1 from customers where shop_id = $1", shop.id)) == 300


async def test_two_requests_at_once_keep_one(api: Api, shop: Shop, rows: Rows) -> None:
    singles = [api.post("/v1/events", event(identities=[MOBILE, DEVICE])) for _ in range(10)]
    batch = [event(event_id=f"B{number}", identities=[DEVICE]) for number in range(50)] + [event()]
    mirrored = list(reversed(batch))
    many = [api.post("/v1/events/batch", {"events": rows_}) for rows_ in (batch, mirrored, batch, mirrored)]
    answers = await asyncio.gather(*singles, *many)
    assert {answer.status_code for answer in answers} == {200}
    alone = sum(answer.json()["status"] == "created" for answer in answers[:10])
    assert alone + sum(answer.json()["created"] for answer in answers[10:]) == 51
    assert len(await events_of(rows, shop)) == 51
    assert len(await rows("select 1 from event_keys where shop_id = $1", shop.id)) == 51
    assert len(await rows("select 1 from customers where shop_id = $1", shop.id)) == 1


async def test_a_time_ahead_of_ours_becomes_ours(api: Api, shop: Shop, rows: Rows) -> None:
    now = clock.now()
    believed, ahead = now + timedelta(minutes=4), now + timedelta(minutes=6)
    for number, said in enumerate((believed, ahead, datetime(2199, 12, 31, tzinfo=UTC))):
        answer = await api.post("/v1/events", event(event_id=f"E{number}", occurred_at=said.isoformat()))
        assert answer.json()["status"] == "created"
    kept = {row["claimed_at"]: row for row in await events_of(rows, shop)}
    assert set(kept) == {None, ahead, datetime(2199, 12, 31, tzinfo=UTC)}
    assert kept[None]["occurred_at"] == believed
    for said in (ahead, datetime(2199, 12, 31, tzinfo=UTC)):
        assert kept[said]["occurred_at"] == kept[said]["received_at"]


async def test_times_without_a_zone_are_the_shops(api: Api, shop: Shop, rows: Rows) -> None:
    await api.post("/v1/events", event(occurred_at="2026-03-01T20:00:00"))
    (stored,) = await events_of(rows, shop)
    assert stored["occurred_at"] == T0


async def test_years_back_is_not_too_late(api: Api, shop: Shop, rows: Rows) -> None:
    for year in (1900, 1999, 2015):
        answer = await api.post("/v1/events", event(event_id=f"Y{year}", occurred_at=f"{year}-05-05T05:05:05Z"))
        assert answer.json()["status"] == "created", answer.text
    await api.post("/v1/events", event(event_id="now", occurred_at=clock.now().isoformat()))
    where = "select tableoid::regclass::text as part, count(*) from events where shop_id = $1 group by 1 order by 2"
    assert await rows(where, shop.id) == [
        {"part": f"events_{clock.now():%Y_%m}", "count": 1},
        {"part": "events_default", "count": 3},
    ]
    for year in (1899, 2200):
        refused = await api.post("/v1/events", event(event_id="Z", occurred_at=f"{year}-06-01T00:00:00Z"))
        assert (refused.status_code, refused.json()["field"]) == (422, "occurred_at")


async def test_a_visitor_keeps_their_events_when_they_become_known(api: Api, shop: Shop, rows: Rows) -> None:
    await api.post("/v1/events", event(event_id="1"))
    await api.post("/v1/events", event(event_id="2", identities=[MOBILE, DEVICE]))
    await api.post("/v1/events", event(event_id="3", identities=[MOBILE]))
    (person,) = await rows("select id from customers where shop_id = $1", shop.id)
    assert [row["customer_id"] for row in await events_of(rows, shop)] == [person["id"]] * 3
    assert [row["identity_kind"] for row in await events_of(rows, shop)] == ["device", "mobile", "mobile"]


async def test_a_visitor_who_was_known_all_along_is_joined_with_all_they_did(api: Api, shop: Shop, rows: Rows) -> None:
    known = (await api.post("/v1/customers", {"identities": [MOBILE]})).json()["id"]
    await api.post("/v1/events", event(event_id="1"))
    for number, identities in enumerate(([MOBILE, DEVICE], [DEVICE, MOBILE])):
        answer = await api.post("/v1/events", event(event_id=f"both-{number}", identities=identities))
        assert answer.json()["status"] == "created", answer.text
    kept = await events_of(rows, shop)
    assert [row["customer_id"] for row in kept] == [known] * 3
    visitor = kept[0]["origin_customer_id"]
    assert visitor != known
    assert [row["origin_customer_id"] for row in kept] == [visitor, known, visitor], "each by what brought it"


async def test_what_is_kept_asks_for_a_look_at_each_customer_once(api: Api, shop: Shop, rows: Rows) -> None:
    people = [[{"kind": "device", "value": f"d-{number}"}] for number in range(3)]
    ids = [(await api.post("/v1/customers", {"identities": person})).json()["id"] for person in people]
    await _looked_at(rows, shop)
    batch = [event(event_id=f"E{number}", identities=people[number % 2]) for number in range(10)]
    batch += [event(event_id="E10", type="fitting", identities=people[2]), event(event_id="E0", identities=people[2])]
    answer = (await api.post("/v1/events/batch", {"events": batch})).json()
    assert (answer["created"], answer["invalid"], answer["duplicate"]) == (10, 1, 1)
    assert await _looked_at(rows, shop) == ids[:2], "what is kept aside, or known, asks for nothing"
    assert (await api.post("/v1/events/batch", {"events": batch})).json()["duplicate"] == 12
    assert await _looked_at(rows, shop) == []
    await api.post("/v1/events", event(event_id="E11", identities=people[2]))
    assert await _looked_at(rows, shop) == ids[2:]


async def test_the_look_is_at_who_answers_for_them(api: Api, shop: Shop, rows: Rows) -> None:
    known = (await api.post("/v1/customers", {"identities": [MOBILE]})).json()["id"]
    await api.post("/v1/events", event(event_id="1"))
    await api.post("/v1/events", event(event_id="2", identities=[MOBILE, DEVICE]))
    await _looked_at(rows, shop)
    batch = [event(event_id="3"), event(event_id="4", identities=[MOBILE]), event(event_id="5")]
    assert (await api.post("/v1/events/batch", {"events": batch})).json()["created"] == 3
    assert len({row["origin_customer_id"] for row in await events_of(rows, shop)}) == 2
    assert await _looked_at(rows, shop) == [known]


async def test_the_workers_are_rung_for_what_is_kept_only(entry: Entry, shop: Shop) -> None:
    ids = CustomerIds()
    fitting, undeclared = (EventWrite.model_validate(event(event_id=type_, type=type_)) for type_ in ("view", "beep"))
    for told, rung in ((fitting, True), (fitting, False), (undeclared, False)):
        async with entry.shop(shop.id) as (db, of):
            await customers.upsert(db, of, ids, [Write(told.identities)])  # a new customer rings too
        async with entry.shop(shop.id) as (db, of):
            await service.put_events(db, of, ids, [told])
            assert (CHANGES_BELL in db.rings) == rung


async def _looked_at(rows: Rows, shop: Shop) -> list[int]:
    """The customers whom the refresh is asked to look at, in order, a row each; taken away as it would."""
    marked = await rows("delete from customer_changes where shop_id = $1 returning customer_id, cause", shop.id)
    assert {row["cause"] for row in marked} <= {"fact"}
    return sorted(row["customer_id"] for row in marked)


async def test_what_cannot_be_kept_names_the_field(api: Api, shop: Shop, rows: Rows) -> None:
    many = {f"p{number}": 1 for number in range(51)}
    for change, field in (
        ({"identities": []}, "identities"),
        ({"identities": None}, "identities"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": None}, "occurred_at"),
        ({"event_id": ""}, "event_id"),
        ({"event_id": "x" * 65}, "event_id"),
        ({"type": "a b"}, "type"),
        ({"type": "x" * 65}, "type"),
        ({"properties": many}, "properties"),
        ({"properties": {"text": "字" * 3000}}, "properties"),
        ({"properties": [1]}, "properties"),
        ({"store_id": 0}, "store_id"),
        ({"source": "a b"}, "source"),
        ({"surprise": 1}, "surprise"),
    ):
        answer = await api.post("/v1/events", event(**change))
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    for table in ("events", "invalid_events", "event_keys", "customers"):
        assert await rows(f"select 1 from {table} where shop_id = $1", shop.id) == []  # noqa: S608 a table of ours


async def test_shops_do_not_share_keys_or_events(
    shop: Shop, other_shop: Shop, make_api: MakeApi, entry: Entry, rows: Rows
) -> None:
    for of in (shop, other_shop):
        answer = await (await make_api(of)).post("/v1/events", event())
        assert answer.json()["status"] == "created"
        assert len(await events_of(rows, of)) == 1
    async with entry.database.transaction(shop.id) as db:
        seen = await db.fetch(SHOPS_SEEN)
    assert {row["shop_id"] for row in seen} == {shop.id}


async def test_who_may_send_may_not_read_and_the_other_way_round(shop: Shop, make_api: MakeApi) -> None:
    sender, reader = await make_api(shop, "events:write"), await make_api(shop, "events:read")
    assert (await sender.post("/v1/events", event())).status_code == 200
    assert (await sender.get("/v1/events/invalid")).status_code == 403
    assert (await sender.get("/v1/event-types")).status_code == 403
    declare = await sender.http.put("/v1/event-types/fitting", json={})
    assert (declare.status_code, declare.json()["needed_scope"]) == (403, "admin")
    assert (await reader.post("/v1/events", event())).status_code == 403
    assert (await reader.post("/v1/events/batch", {"events": [event()]})).status_code == 403
    assert (await reader.get("/v1/events/invalid")).status_code == 200


async def test_a_key_is_forgotten_after_thirty_days(api: Api, shop: Shop, rows: Rows, house: House, work: Any) -> None:
    batch = [event(event_id=f"E{number}") for number in range(3)]
    await api.post("/v1/events/batch", {"events": batch})
    age = "update event_keys set received_at = received_at - $3::interval where shop_id = $1 and event_id = $2"
    await rows(age, shop.id, "E0", timedelta(days=29))
    await rows(age, shop.id, "E1", timedelta(days=31))
    await work()
    left = await rows("select event_id from event_keys where shop_id = $1 order by 1", shop.id)
    assert [row["event_id"] for row in left] == ["E0", "E2"]
    await rows(age, shop.id, "E2", timedelta(days=31))
    answer = (await api.post("/v1/events/batch", {"events": batch})).json()
    statuses = [row["status"] for row in answer["results"]]
    assert statuses == ["duplicate", "created", "created"], "removed or not, its days are over"
    assert len(await events_of(rows, shop)) == 5


async def test_expired_keys_go_in_small_batches(entry: Entry, shop: Shop, rows: Rows) -> None:
    await rows(
        "insert into event_keys select $1, 'K' || n, gen_random_uuid(), now() - interval '31 days' "
        "from generate_series(1, 1500) n",
        shop.id,
    )
    async with entry.shop(shop.id) as (db, of):
        assert await service.forget_keys(db, of) == 1000
    async with entry.shop(shop.id) as (db, of):
        assert await service.forget_keys(db, of) == 500


_numbers = itertools.count()


async def _deliver(entry: Entry, rows: Rows, told: list[dict[str, Any]], sizes: int) -> Any:
    """Deliver in batches of a size to a new shop. Returns its rows without surrogate ids and receipt times."""
    shop = await entry.shops.get(await create_shop(entry.database, entry.root, name=f"shop {next(_numbers)}"))
    ids = CustomerIds()
    for start in range(0, len(told), sizes):
        batch = [EventWrite.model_validate(one) for one in told[start : start + sizes]]
        async with entry.shop(shop.id) as (db, of):
            results, _ = await service.put_events(db, of, ids, batch)
            assert all(result.id is not None for result in results)
    common = "e.occurred_at, e.claimed_at, e.type, e.identity_kind, e.store_id, e.source, k.event_id, i.kind, i.scope"
    person = """
        join event_keys k on k.shop_id = e.shop_id and k.id = e.id
        join identities i on i.shop_id = e.shop_id and i.customer_id = e.customer_id and i.value_hash = e.identity_hash
        where e.shop_id = $1 order by k.event_id
    """
    valid = await rows(f"select {common}, e.properties from events e {person}", shop.id)  # noqa: S608
    invalid = await rows(f"select {common}, e.event_id, e.reason from invalid_events e {person}", shop.id)  # noqa: S608
    together = await rows(
        "select array_agg(k.event_id order by k.event_id) as of from event_keys k "
        "join (select id, customer_id from events where shop_id = $1 union all "
        "      select id, customer_id from invalid_events where shop_id = $1) e on e.id = k.id "
        "where k.shop_id = $1 group by e.customer_id order by 1",
        shop.id,
    )
    held = await rows("select kind from identities where shop_id = $1 order by kind, scope", shop.id)
    return valid, invalid, together, held


@st.composite
def _tellings(draw: st.DrawFn) -> list[dict[str, Any]]:
    told = []
    for number in range(draw(st.integers(1, 6))):
        person = draw(st.integers(1, 2))
        also = draw(st.lists(st.sampled_from(["email", "fans_id"]), unique=True))
        known = {"email": f"p{person}@example.com", "fans_id": str(person)}
        told.append(
            {
                "event_id": f"E{number}",
                "type": draw(st.sampled_from(["view", "visit", "fitting"])),
                "identities": [{"kind": "device", "value": f"d{person}"}]
                + [{"kind": kind, "value": known[kind]} for kind in also],
                "occurred_at": (T0 + timedelta(days=draw(st.integers(-9000, 60)))).isoformat(),
                "properties": draw(st.sampled_from([{}, {"sku": "S"}, {"sku": [1]}, {"note": "13800000001"}])),
            }
        )
    return told


async def test_any_order_and_repetition_of_deliveries_ends_in_the_same_rows(entry: Entry, rows: Rows) -> None:
    loop = asyncio.get_running_loop()

    @given(told=_tellings(), order=st.randoms(use_true_random=False), sizes=st.integers(1, 8))
    def check(told: list[dict[str, Any]], order: Any, sizes: int) -> None:
        shuffled = [*told, *(order.choice(told) for _ in range(3))]
        order.shuffle(shuffled)

        async def both() -> tuple[Any, Any]:
            return await _deliver(entry, rows, told, 1), await _deliver(entry, rows, shuffled, sizes)

        straight, mixed = asyncio.run_coroutine_threadsafe(both(), loop).result(60)
        assert straight == mixed

    await asyncio.to_thread(check)
