"""Membership through the front: who is in a segment follows from rules, facts, time, merges and lists."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from app.access.entry import Entry
from app.access.shops import Shop
from app.core import clock
from app.refresh.segments import sweep_to
from tests.conftest import Api, Rows

Work = Callable[[], Awaitable[None]]
Rule = dict[str, Any]

BOUGHT: Rule = {"kind": "order", "measure": "count", "at_least": 1}
VIEWED: Rule = {"kind": "event", "event": "view", "window": {"last": {"days": 7}}, "at_least": 1}


async def _order(api: Api, person: str, number: str, ago: timedelta = timedelta(), fen: int = 1000) -> int:
    body = {
        "order_no": number,
        "identities": [{"kind": "external_id", "value": person}],
        "paid_at": (clock.now() - ago).isoformat(),
        "amount_fen": fen,
    }
    answer = await api.post("/v1/orders", body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["customer_id"])


async def _view(api: Api, person: str, ago: timedelta = timedelta()) -> int:
    identities = [{"kind": "external_id", "value": person}]
    known = await api.post("/v1/customers/lookup", {"identity": identities[0]})
    made = known if known.status_code == 200 else await api.post("/v1/customers", {"identities": identities})
    assert made.status_code in (200, 201), made.text
    body = {
        "event_id": f"{person}-{ago.total_seconds()}",
        "type": "view",
        "identities": identities,
        "occurred_at": (clock.now() - ago).isoformat(),
    }
    answer = await api.post("/v1/events", body)
    assert answer.status_code == 200, answer.text
    return int(made.json()["id"])


async def _define(api: Api, name: str, rule: Rule | None = None, **more: Any) -> int:
    body = {"name": name} | ({"rule": rule} if rule else {}) | more
    answer = await api.post("/v1/segments", body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["segment_id"])


async def _members(api: Api, segment: int, **query: Any) -> list[int]:
    answer = await api.get(f"/v1/segments/{segment}/members", params=query)
    assert answer.status_code == 200, answer.text
    return [row["customer_id"] for row in answer.json()["items"]]


async def _log(rows: Rows, shop: Shop, segment: int) -> list[tuple[int, str, str]]:
    found = await rows(
        "select customer_id, entered, cause from segment_changes where shop_id = $1 and segment_id = $2 order by id",
        shop.id,
        segment,
    )
    return [(row["customer_id"], "entered" if row["entered"] else "left", row["cause"]) for row in found]


async def test_a_segment_is_built_and_then_kept(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    first = await _order(api, "A", "A1")
    other = await _view(api, "B")
    segment = await _define(api, "买过", BOUGHT, folder="核心", description="Who has bought")
    detail = (await api.get(f"/v1/segments/{segment}")).json()
    assert (detail["live_version"], detail["size"], detail["building"]) == (None, 0, False)
    await work()
    assert await _members(api, segment) == [first]
    detail = (await api.get(f"/v1/segments/{segment}")).json()
    assert (detail["version"], detail["live_version"], detail["size"], detail["rule"]) == (1, 1, 1, BOUGHT)
    assert detail["took_ms"] >= 0
    assert detail["computed_at"]

    assert await _order(api, "B", "B1") == other
    await work()
    assert await _members(api, segment) == [first, other]
    assert await _log(rows, shop, segment) == [(first, "entered", "definition"), (other, "entered", "fact")]
    assert (await api.get(f"/v1/segments/{segment}/count")).json() == {"customers": 2}
    assert (await api.get(f"/v1/segments/{segment}")).json()["size"] == 2
    member = (await api.get(f"/v1/segments/{segment}/members/{other}")).json()
    assert (member["customer_id"], member["member"], member["version"]) == (other, True, 1)
    of_customer = (await api.get(f"/v1/customers/{other}/segments")).json()
    assert [(one["segment_id"], one["name"]) for one in of_customer["items"]] == [(segment, "买过")]
    exported = await api.get(f"/v1/segments/{segment}/export")
    assert len(exported.text.splitlines()) == 2
    assert await rows("select * from segment_builds where shop_id = $1", shop.id) == []
    assert await rows("select * from segment_touched where shop_id = $1", shop.id) == []


async def test_time_puts_customers_out_and_in(api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work) -> None:
    leaving = await _view(api, "L", timedelta(days=7) - timedelta(minutes=5))
    staying = await _view(api, "S", timedelta(days=3))
    recent = await _define(api, "recent", VIEWED)
    dormant = await _define(api, "dormant", {"kind": "date", "field": "last_event", "older_than": {"days": 7}})
    await work()
    assert (await _members(api, recent), await _members(api, dormant)) == ([leaving, staying], [])
    # As the sweep of ten minutes from now will see it.
    assert await sweep_to(entry, shop.id, clock.now() + timedelta(minutes=1)) == 0
    moment = clock.now() + timedelta(minutes=10)
    await rows(
        "update events set occurred_at = occurred_at - interval '10 minutes' where shop_id = $1 returning 1", shop.id
    )
    await rows(
        "update segment_clocks set swept_to = swept_to - interval '11 minutes' where shop_id = $1 returning 1", shop.id
    )
    assert await sweep_to(entry, shop.id, None) == 2
    assert (await _members(api, recent), await _members(api, dormant)) == ([staying], [leaving])
    assert (await _log(rows, shop, recent))[-1] == (leaving, "left", "time")
    assert (await _log(rows, shop, dormant))[-1] == (leaving, "entered", "time")
    assert await sweep_to(entry, shop.id, None) == 0
    assert moment > clock.now()


async def test_a_new_rule_is_a_version_and_a_difference(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    small = await _order(api, "A", "A1", fen=100)
    large = await _order(api, "B", "B1", fen=90_000)
    segment = await _define(api, "spenders", BOUGHT)
    await work()
    before = clock.now()
    rule = {"kind": "order", "measure": "sum", "at_least": 50_000}
    answer = await api.patch(f"/v1/segments/{segment}", {"rule": rule, "version": 1})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["version"], answer.json()["live_version"]) == (2, 1)
    assert await _members(api, segment) == [small, large], "until it is built, the former one counts"
    stale = await api.patch(f"/v1/segments/{segment}", {"rule": rule, "version": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "segment_changed")
    await work()
    assert await _members(api, segment) == [large]
    assert (await _log(rows, shop, segment))[2:] == [(small, "left", "definition")]
    assert await _members(api, segment, as_of=before.isoformat()) == [small, large]
    assert await _members(api, segment, as_of=(before - timedelta(days=1)).date().isoformat()) == []
    then = await api.get(f"/v1/segments/{segment}/count", params={"as_of": before.isoformat()})
    assert then.json() == {"customers": 2}
    versions = (await api.get(f"/v1/segments/{segment}/versions")).json()["items"]
    assert [(one["version"], one["state"]) for one in versions] == [(2, "live"), (1, "superseded")]


async def test_a_merge_and_its_reversal(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    winner = await _order(api, "A", "A1")
    loser = await _order(api, "B", "B1")
    segment = await _define(api, "two orders", {"kind": "order", "measure": "count", "at_least": 2})
    bought = await _define(api, "bought", BOUGHT)
    await work()
    answer = await api.post(f"/v1/customers/{winner}/merges", {"other_id": loser})
    assert answer.status_code in (200, 201), answer.text
    await work()
    (owner,) = await _members(api, segment)
    gone = loser if owner == winner else winner
    assert await _members(api, bought) == [owner]
    assert (gone, "left", "merge") in await _log(rows, shop, bought)
    assert (owner, "entered", "merge") in await _log(rows, shop, segment)
    member = (await api.get(f"/v1/segments/{bought}/members/{gone}")).json()
    assert (member["customer_id"], member["member"]) == (owner, True)
    merge = answer.json()["id"]
    assert (await api.post(f"/v1/merges/{merge}/reversal")).status_code == 200
    await work()
    assert await _members(api, segment) == []
    assert await _members(api, bought) == sorted([winner, loser])


async def test_a_list_and_a_snapshot(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    first, second = await _order(api, "A", "A1"), await _view(api, "B")
    listed = await _define(api, "invited", kind="static", customer_ids=[first])
    taken = await _define(api, "bought then", kind="static", snapshot={"rule": BOUGHT})
    await work()
    assert (await _members(api, listed), await _members(api, taken)) == ([first], [first])
    await _order(api, "B", "B1")
    answer = await api.post(f"/v1/segments/{listed}/list", {"customer_ids": [first, second, 2**50]})
    assert answer.json() == {"changed": 1, "unchanged": 1, "unknown": [2**50]}
    await work()
    assert (await _members(api, listed), await _members(api, taken)) == ([first, second], [first])
    answer = await api.post(f"/v1/segments/{listed}/list/removal", {"customer_ids": [first]})
    assert answer.json() == {"changed": 1, "unchanged": 0, "unknown": []}
    await work()
    assert await _members(api, listed) == [second]


async def test_a_segment_of_segments(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    customer = await _view(api, "A")
    bought = await _define(api, "bought", BOUGHT)
    viewed = await _define(api, "viewed", VIEWED)
    inner: Rule = {"kind": "segment", "any_of": [bought]}
    both = await _define(api, "both", {"kind": "all", "of": [inner, {"kind": "segment", "any_of": [viewed]}]})
    await work()
    assert await _members(api, both) == []
    await _order(api, "A", "A1")
    await work()
    assert await _members(api, both) == [customer]
    circle = await api.patch(f"/v1/segments/{bought}", {"rule": {"kind": "segment", "any_of": [both]}})
    assert (circle.status_code, circle.json()["code"]) == (422, "segment_circle")
    used = await api.post(f"/v1/segments/{bought}/archive")
    assert (used.status_code, used.json()["code"]) == (409, "still_used")
    assert (await api.get(f"/v1/segments/{bought}")).json()["used_by"] == [
        {"kind": "segment", "id": both, "name": "both"}
    ]
    # A definition that changes below is seen above.
    nobody = {"kind": "order", "measure": "count", "at_least": 9}
    assert (await api.patch(f"/v1/segments/{bought}", {"rule": nobody})).status_code == 200
    await work()
    assert await _members(api, both) == []
    assert (await api.post(f"/v1/segments/{both}/archive")).status_code == 200
    assert (await api.post(f"/v1/segments/{bought}/archive")).status_code == 200
    await work()
    states = [row["state"] for row in (await api.get("/v1/segments")).json()["items"]]
    assert states == ["archived", "active", "archived"]
    left = await rows("select thing, name, user_id from uses where shop_id = $1", shop.id)
    assert left == [{"thing": "event_type", "name": "view", "user_id": viewed}]


async def test_members_carry_the_segments_tag(api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work) -> None:
    buyer, other = await _order(api, "A", "A1"), await _view(api, "B")
    segment = await _define(api, "buyers", BOUGHT, tag="已购")
    tagged: Rule = {"kind": "tag", "any_of": ["已购"]}
    users = await _define(api, "tagged", {"kind": "not", "of": tagged})
    await work()
    assert (await api.get(f"/v1/segments/{segment}")).json()["tag"] == "已购"
    carried = (await api.get(f"/v1/customers/{buyer}/tags")).json()["items"]
    assert [(one["name"], one["source"], one["actor"]) for one in carried] == [("已购", "rule", f"segment:{segment}")]
    assert await _members(api, users) == [other]
    await _order(api, "B", "B1")
    await work()
    assert await _members(api, users) == []
    # A new rule takes the tag from who leaves, and who asks for the tag follows.
    rule = {"kind": "order", "measure": "count", "at_least": 2}
    assert (await api.patch(f"/v1/segments/{segment}", {"rule": rule})).status_code == 200
    await work()
    assert await _members(api, users) == [buyer, other]
    assert await rows("select * from customer_tags where shop_id = $1", shop.id) == []
    # What is used, or given by a rule, is neither dropped nor renamed nor given by hand.
    (tag,) = await rows("select id, kind from tags where shop_id = $1", shop.id)
    assert tag["kind"] == "automatic"
    for answer in (
        await api.http.delete(f"/v1/tags/{tag['id']}"),
        await api.patch(f"/v1/tags/{tag['id']}", {"name": "买过"}),
        await api.post(f"/v1/tags/{tag['id']}/customers", {"customer_ids": [buyer]}),
        await api.post("/v1/segments", {"name": "again", "rule": BOUGHT, "tag": "已购"}),
    ):
        assert answer.status_code == 409, answer.text
    circle = await api.patch(f"/v1/segments/{segment}", {"rule": tagged})
    assert (circle.status_code, circle.json()["code"]) == (422, "segment_circle")
    # Kept no more, it gives the tag back.
    assert (await api.post(f"/v1/segments/{users}/archive")).status_code == 200
    assert (await api.post(f"/v1/segments/{segment}/archive")).status_code == 200
    await work()
    assert await rows("select kind from tags where shop_id = $1", shop.id) == [{"kind": "manual"}]
    assert (await api.http.delete(f"/v1/tags/{tag['id']}")).status_code == 204


async def test_a_merged_record_loses_its_tag_and_the_winner_keeps_its_own(
    api: Api, shop: Shop, rows: Rows, work: Work
) -> None:
    one, other = await _order(api, "A", "A1"), await _order(api, "B", "B1")
    once: Rule = {"kind": "order", "measure": "count", "equals": 1}
    await _define(api, "once", once, tag="一次")
    await _define(api, "bought", BOUGHT, tag="买过")
    await work()
    merged = (await api.post(f"/v1/customers/{one}/merges", {"other_id": other})).json()
    await work()
    carried = await rows(
        "select a.customer_id, a.origin_customer_id, t.name from customer_tags a "
        "join tags t on t.shop_id = a.shop_id and t.id = a.tag_id where a.shop_id = $1",
        shop.id,
    )
    winner = merged["winner_id"]
    assert carried == [{"customer_id": winner, "origin_customer_id": winner, "name": "买过"}]
    assert (await api.post(f"/v1/merges/{merged['id']}/reversal")).status_code == 200
    await work()
    found = await rows("select customer_id from customer_tags where shop_id = $1", shop.id)
    assert sorted(row["customer_id"] for row in found) == sorted([one, one, other, other])


async def test_texts_and_ready_made_rules_define_segments(api: Api, work: Work) -> None:
    customer = await _order(api, "A", "A1", timedelta(days=61))
    written = await _define(api, "text", text="最近下单 早于 60天前")
    ready = await _define(api, "ready", ready_made="churn-risk-60-days")
    taken = await _define(api, "taken", kind="static", snapshot={"text": "order count >= 1"})
    await work()
    for segment in (written, ready, taken):
        assert await _members(api, segment) == [customer]
    answer = await api.patch(f"/v1/segments/{written}", {"text": "order count = 0"})
    assert answer.json()["rule"] == {"kind": "order", "measure": "count", "equals": 0}
    for body, code in (
        ({"name": "x", "text": "tyer = 1"}, "rule_unreadable"),
        ({"name": "x", "ready_made": "churn-risk"}, "invalid"),
        ({"name": "x", "ready_made": "community-without-order"}, "rule_unfit"),
        ({"name": "x", "text": "order count = 0", "rule": BOUGHT}, "invalid"),
        ({"name": "x"}, "invalid"),
        ({"name": "x", "kind": "static", "rule": BOUGHT}, "invalid"),
        ({"name": "text", "rule": BOUGHT}, "segment_exists"),
        ({"name": "x", "text": "segment 999999"}, "rule_unfit"),
    ):
        refused = await api.post("/v1/segments", body)
        assert (refused.status_code in (409, 422), refused.json()["code"]) == (True, code), refused.text


async def test_coming_and_going_is_told(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    first, second = await _order(api, "A", "A1"), await _order(api, "B", "B1")
    batched = await _define(api, "batched", BOUGHT)
    single = await _define(api, "single", BOUGHT, announce="each")
    await _define(api, "silent", BOUGHT, announce="nothing")
    answer = await api.post(
        "/v1/webhooks",
        {"url": "http://127.0.0.1:9/hook", "kinds": ["segment.entered", "segment.left"]},
    )
    assert answer.status_code == 201, answer.text
    await work()
    found = await rows("select kind, body from webhook_deliveries where shop_id = $1", shop.id)
    told = [(row["kind"], json.loads(row["body"])["data"]) for row in found]
    assert {kind for kind, _ in told} == {"segment.entered"}
    (batch,) = [data for _, data in told if data["segment_id"] == batched]
    assert batch == {
        "segment_id": batched,
        "segment": "batched",
        "version": 1,
        "cause": "definition",
        "customer_ids": [first, second],
    }
    each = [data for _, data in told if data["segment_id"] == single]
    assert sorted(one["customer_id"] for one in each) == [first, second]
    assert len(told) == 3


async def test_every_fact_that_rules_ask_for_has_customers_looked_at(api: Api, work: Work) -> None:
    """Consent, identities, attributes, profile, tags: each changes membership without anything else happening."""
    assert (await api.http.put("/v1/attributes/skin", json={"type": "text", "class": "public"})).status_code == 200
    customer = await _view(api, "A")
    asked = {
        "consent": "consent sms granted",
        "identity": "identity email",
        "attribute": "attribute skin = 'dry'",
        "profile": "gender = 2",
        "tag": "tag '员工'",
    }
    await api.post("/v1/tags", {"name": "员工"})
    segments = {name: await _define(api, name, text=text) for name, text in asked.items()}
    await work()
    person = {"identities": [{"kind": "external_id", "value": "A"}]}
    happened: dict[str, tuple[str, Any]] = {
        "consent": ("/v1/consents", {"customer_id": customer, "channel": "sms", "state": "granted", "source": "till"}),
        "identity": (
            f"/v1/customers/{customer}/identities",
            {"identities": [{"kind": "email", "value": "a@example.com"}]},
        ),
        "attribute": ("/v1/customers/batch", {"customers": [person | {"attributes": {"skin": "dry"}}]}),
        "profile": ("/v1/customers/batch", {"customers": [person | {"gender": 2}]}),
        "tag": ("/v1/tags/assignments", {"add": [{"customer_id": customer, "tag": "员工"}]}),
    }
    for name, (path, body) in happened.items():
        assert await _members(api, segments[name]) == [], name
        answer = await api.post(path, body)
        assert answer.status_code in (200, 201), (name, answer.text)
        await work()
        assert await _members(api, segments[name]) == [customer], name


async def test_members_are_tagged_once(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    buyer, other = await _order(api, "A", "A1"), await _view(api, "B")
    segment = await _define(api, "buyers", BOUGHT)
    kept = (await api.post("/v1/tags", {"name": "会员日"})).json()["id"]
    taken = (await api.post("/v1/tags", {"name": "新客"})).json()["id"]
    for customer in (buyer, other):
        await api.post(f"/v1/tags/{taken}/customers", {"customer_ids": [customer]})
    await work()
    body = {"add": ["会员日"], "remove": [taken], "reason": "三月活动"}
    started = await api.post(f"/v1/segments/{segment}/tags", body)
    assert started.status_code == 202, started.text
    await work()
    job = (await api.get(f"/v1/jobs/{started.json()['job_id']}")).json()
    assert (job["state"], job["result"]) == ("done", {"customers": 1})
    held = await rows("select customer_id, tag_id, source, reason from customer_tags where shop_id = $1", shop.id)
    assert sorted((row["customer_id"], row["tag_id"], row["reason"]) for row in held) == sorted(
        [(buyer, kept, "三月活动"), (other, taken, None)]
    )
    # Who comes later is not tagged, and an automatic tag is nobody's to give.
    await _order(api, "B", "B1")
    await _define(api, "auto", VIEWED, tag="自动")
    await work()
    assert len(await rows("select 1 from customer_tags where shop_id = $1 and tag_id = $2", shop.id, kept)) == 1
    for wrong, status in (({"add": ["自动"]}, 409), ({"add": ["没有"]}, 404), ({}, 422)):
        assert (await api.post(f"/v1/segments/{segment}/tags", wrong)).status_code == status


async def test_what_an_order_or_an_event_brings_besides_is_seen(api: Api, work: Work) -> None:
    """A new identity, a store, a verified number: of whom a fact is about, more may change than the fact."""
    customer = await _view(api, "A")
    asked = {"email": "identity email", "openid": "identity wechat_openid", "mobile": "has_mobile = true"}
    segments = {name: await _define(api, name, text=text) for name, text in asked.items()}
    await work()
    who = [{"kind": "external_id", "value": "A"}]
    order = {"order_no": "A1", "paid_at": clock.now().isoformat(), "amount_fen": 1}
    mail = {"kind": "email", "value": "a@example.com"}
    assert (await api.post("/v1/orders", order | {"identities": [*who, mail]})).status_code == 200
    await work()
    assert await _members(api, segments["email"]) == [customer]
    mobile = {"kind": "mobile", "value": "13800001111", "verified": True}
    answer = await api.post("/v1/orders", order | {"order_no": "A2", "identities": [*who, mobile]})
    assert answer.status_code == 200, answer.text
    await work()
    assert await _members(api, segments["mobile"]) == [customer]
    openid = {"kind": "wechat_openid", "value": "oABCDEFGH", "scope": "wx1"}
    event = {"event_id": "E1", "type": "view", "occurred_at": clock.now().isoformat()}
    answer = await api.post("/v1/events", event | {"identities": [*who, openid]})
    assert answer.status_code == 200, answer.text
    await work()
    assert await _members(api, segments["openid"]) == [customer]
