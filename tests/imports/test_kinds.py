"""Files of events, identities and tags: what each room makes of its rows, and the same at every repetition."""

from app.access.shops import Shop
from tests.conftest import Api, Rows
from tests.imports.test_imports import Work, counts, errors, imported


async def _known(api: Api, *cards: str) -> list[int]:
    made = [await api.post("/v1/customers", {"identities": [{"kind": "card_no", "value": card}]}) for card in cards]
    return [answer.json()["id"] for answer in made]


async def test_events(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    declared = {"properties": {"size": {"kind": "integer", "required": True}}}
    assert (await api.http.put("/v1/event-types/fitting", json=declared)).status_code == 200
    content = (
        "event_id,event_type,time,mobile,properties.sku,properties.size\n"
        "V1,view,2026-01-05 10:00,13100000001,A-1,\n"
        "V2,fitting,2026-01-05T03:00:00Z,13100000001,,42\n"
        "V3,fitting,2026-01-05 10:00,13100000002,,large\n"
        "V4,view,soon,13100000002,,\n"
        "V1,view,2026-01-05 11:00,13100000003,B-2,\n"
    )
    ended = await imported(api, work, content, kind="events")
    assert counts(ended) == (2, 0, 1, 2)
    found = await errors(api, ended)
    assert [(e["line"], e["code"], e["field"]) for e in found] == [
        (4, "kept_aside", found[0]["field"]),
        (5, "invalid", "occurred_at"),
    ]
    assert "replay" in found[0]["remedy"]
    kept = await rows(
        "select type, properties, occurred_at::text as at from events where shop_id = $1 order by type", shop.id
    )
    assert [(row["type"], row["properties"]) for row in kept] == [
        ("fitting", '{"size": 42}'),
        ("view", '{"sku": "A-1"}'),
    ]
    assert kept[0]["at"][:16] == "2026-01-05 03:00"
    assert counts(await imported(api, work, content, kind="events")) == (0, 0, 4, 1)
    line = '{"event_id":"V9","type":"view","identities":[{"kind":"mobile","value":"13100000001"}],'
    line += '"occurred_at":"2026-01-05T10:00:00","properties":{"sku":"A-1"}}\n'
    assert counts(await imported(api, work, line, kind="events", format="ndjson")) == (1, 0, 0, 0)
    assert await rows("select 1 from customer_changes where shop_id = $1", shop.id) == [], "the refresh has looked"


async def test_identities_are_added_to_who_is_there(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    one, two = await _known(api, "K1", "K2")
    content = (
        "customer_id,会员卡号,手机号,邮箱\n"
        ",K1,13100000001,\n"
        f"{two},,13100000002,b@example.com\n"
        ",K9,13100000009,\n"
        ",K1,13100000002,\n"
        "77,,13100000007,\n"
        f"{one},,,\n"
    )
    ended = await imported(api, work, content, kind="identities")
    assert counts(ended) == (0, 2, 0, 4)
    assert [(e["line"], e["code"]) for e in await errors(api, ended)] == [
        (4, "customer_not_found"),
        (5, "identity_conflict"),
        (6, "customer_not_found"),
        (7, "invalid"),
    ]
    held = await rows("select customer_id, count(*) as n from identities where shop_id = $1 group by 1", shop.id)
    assert {row["customer_id"]: row["n"] for row in held} == {one: 2, two: 3}
    assert counts(await imported(api, work, content, kind="identities")) == (0, 0, 2, 4)


async def test_tags_are_put_on_who_is_there(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    one, two = await _known(api, "K1", "K2")
    content = (
        f"customer_id,card_no,标签\n,K1,沙龙|VIP 客户\n{two},,沙龙\n,K1,沙龙\n,K9,沙龙\n{two},K1,沙龙\n"
        f"{two},,{'长' * 33}\n"
    )
    ended = await imported(api, work, content, kind="tags")
    assert counts(ended) == (0, 2, 1, 3)
    assert [(e["line"], e["code"], e["field"]) for e in await errors(api, ended)] == [
        (5, "customer_not_found", ""),
        (6, "identity_conflict", ""),
        (7, "invalid", "tags"),
    ]
    carried = await rows(
        "select a.customer_id, t.name, a.source, a.actor from customer_tags a "
        "join tags t on t.shop_id = a.shop_id and t.id = a.tag_id where a.shop_id = $1 order by 1, 2",
        shop.id,
    )
    assert [(row["customer_id"], row["name"]) for row in carried] == [(one, "VIP 客户"), (one, "沙龙"), (two, "沙龙")]
    assert {(row["source"], row["actor"]) for row in carried} == {("import", api.client.client_id)}
    assert counts(await imported(api, work, content, kind="tags")) == (0, 0, 3, 3)
    line = f'{{"customer_id":{one},"tags":["新"]}}\n{{"tags":["新"]}}\n'
    assert counts(await imported(api, work, line, kind="tags", format="ndjson")) == (0, 1, 0, 1)


async def test_a_dry_run_of_tags_makes_none(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    await _known(api, "K1")
    ended = await imported(api, work, "card_no,tags\nK1,甲\n", kind="tags", dry_run=True)
    assert counts(ended) == (0, 1, 0, 0)
    assert await rows("select 1 from tags where shop_id = $1", shop.id) == []


async def test_a_file_gives_no_tag_that_is_closed_to_it(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    one, two = await _known(api, "K1", "K2")
    ids = [(await api.post("/v1/tags", {"name": name})).json()["id"] for name in ("by rule", "old")]
    assert await rows("update tags set kind = 'automatic' where shop_id = $1 and id = $2 returning 1", shop.id, ids[0])
    assert (await api.patch(f"/v1/tags/{ids[1]}", {"status": "disabled"})).status_code == 200
    content = f"customer_id,tags\n{one},by rule|new\n{two},new\n{two},old\n"
    ended = await imported(api, work, content, kind="tags")
    assert counts(ended) == (0, 1, 0, 2)
    told = await errors(api, ended)
    assert [(e["line"], e["code"], e["field"]) for e in told] == [
        (2, "tag_is_automatic", "tags"),
        (4, "tag_disabled", "tags"),
    ]
    assert all("Leave the tag out" in e["remedy"] for e in told)
    carried = await rows("select customer_id, source from customer_tags where shop_id = $1", shop.id)
    assert carried == [{"customer_id": two, "source": "import"}], "a row that is refused is refused as a whole"


async def test_lists_of_static_segments(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    one = (await api.post("/v1/customers", {"identities": [{"kind": "card_no", "value": "K1"}]})).json()["id"]
    two = (await api.post("/v1/customers", {"identities": [{"kind": "card_no", "value": "K2"}]})).json()["id"]
    made = await api.post("/v1/segments", {"name": "受邀", "kind": "static"})
    number = made.json()["segment_id"]
    rule = {"kind": "profile", "field": "member", "equals": True}
    assert (await api.post("/v1/segments", {"name": "会员", "rule": rule})).status_code == 201
    content = f"card_no,人群\nK1,受邀\nK2,{number}\nK3,受邀\nK1,会员\nK1,没有\nK1,受邀\nK1,\n"
    ended = await imported(api, work, content, kind="segments")
    assert counts(ended) == (0, 2, 1, 4)
    members = (await api.get(f"/v1/segments/{number}/members")).json()["items"]
    assert [row["customer_id"] for row in members] == sorted([one, two])
    assert counts(await imported(api, work, content, kind="segments")) == (0, 0, 3, 4)
    line = f'{{"customer_id":{one},"segment":{number}}}\n{{"segment":"受邀"}}\n'
    assert counts(await imported(api, work, line, kind="segments", format="ndjson")) == (0, 0, 1, 1)
    codes = await rows("select actor from segment_entries where shop_id = $1", shop.id)
    assert {row["actor"] for row in codes} == {api.client.client_id}
