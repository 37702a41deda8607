"""Files by somebody who means no good, and rows that could be lost on the way."""

import orjson
import pytest

from app.access.shops import Shop
from tests.conftest import Api, Rows
from tests.imports.test_imports import Work, counts, imported


def lines(*objects: object) -> bytes:
    return b"\n".join(orjson.dumps(one) for one in objects) + b"\n"


def card(value: str) -> dict[str, str]:
    return {"kind": "card_no", "value": value}


async def test_attributes_in_json_lines_are_kept_or_refused(api: Api, work: Work) -> None:
    declared = {"type": "integer", "class": "public"}
    assert (await api.http.put("/v1/attributes/pets", json=declared)).status_code == 200
    content = lines(
        {"identities": [card("K1")], "attributes": {"pets": 3}},
        {"identities": [card("K2")], "attributes": {"pet": 3}},
        {"identities": [card("K3")], "attributes": {"pets": "three"}},
    )
    ended = await imported(api, work, content, kind="customers", format="ndjson")
    found = await api.post("/v1/customers/lookup", {"identity": card("K1")})
    shown = (await api.get(f"/v1/customers/{found.json()['id']}")).json()
    assert shown["attributes"] == {"pets": 3}
    assert counts(ended) == (1, 0, 0, 2)
    again = await imported(api, work, content, kind="customers", format="ndjson")
    assert counts(again) == (0, 0, 1, 2)


@pytest.mark.parametrize("kind", ["tags", "identities"])
async def test_the_number_of_who_was_merged_away_still_names_the_person(api: Api, work: Work, kind: str) -> None:
    one = (await api.post("/v1/customers", {"identities": [card("K1")]})).json()["id"]
    two = (await api.post("/v1/customers", {"identities": [card("K2")]})).json()["id"]
    merged = await api.post(f"/v1/customers/{one}/merges", {"other_id": two})
    assert merged.status_code in (200, 201), merged.text
    content = {
        "tags": f"customer_id,tags\n{one},vip\n{two},vip\n",
        "identities": f"customer_id,mobile\n{one},13100000001\n{two},13100000002\n",
    }
    ended = await imported(api, work, content[kind], kind=kind)
    assert ended["refused"] == 0


async def test_who_is_named_by_number_and_by_identity_after_a_merge(api: Api, work: Work) -> None:
    one = (await api.post("/v1/customers", {"identities": [card("K1")]})).json()["id"]
    two = (await api.post("/v1/customers", {"identities": [card("K2")]})).json()["id"]
    assert (await api.post(f"/v1/customers/{one}/merges", {"other_id": two})).status_code in (200, 201)
    content = f"customer_id,card_no,tags\n{two},K1,vip\n{one},K2,vip\n"
    ended = await imported(api, work, content, kind="tags")
    assert ended["refused"] == 0


async def test_a_key_of_an_object_is_not_kept_where_it_is_personal(
    api: Api, work: Work, shop: Shop, rows: Rows
) -> None:
    told = {"identities": [{"kind": "13800138000", "value": "1"}]}
    content = lines(
        told,
        {"identities": [card("K1")], "13800138000": "x"},
        {"identities": [card("K2")], "attributes": {"张三 13800138000": 1}},
    )
    await imported(api, work, content, kind="customers", format="ndjson")
    kept = await rows("select field, reason from import_errors where shop_id = $1", shop.id)
    assert "13800138000" not in str(kept)


HOSTILE = [
    b'{"identities":[{"kind":"card_no","value":"K1"}],"name":"\\ud800"}',
    b'{"identities":[{"kind":"card_no","value":"K\\u0000"}]}',
    b'{"identities":[{"kind":"card_no","value":"K2"}],"store_id":1e400}',
    b'{"identities":[{"kind":"card_no","value":"K2"}],"store_id":99999999999999999999999}',
    b'{"identities":[{"kind":"card_no","value":"K3"}],"member_since":"0001-01-01T00:00:00+14:00"}',
    b'{"identities":[{"kind":"card_no","value":"K4"}],"created_at":"9999-12-31T23:59:59-12:00"}',
    b'{"identities":[{"kind":"card_no","value":"K5"}],"created_at":"2024-01-01 00:00:00"}',
    b'{"identities":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"identities":[{"kind":"card_no","value":"K6","scope":"\\u001f\\u007f"}]}',
    b'{"identities":[{"kind":"mobile","value":"\\u202e13800138000"}]}',
    b'{"identities":[{"kind":"fans_id","value":"99999999999999999999999999999"}]}',
    b'{"identities":[{"kind":"open_user_id","value":"99999999999999999999999999999"}]}',
    b'{"identities":[{"kind":"card_no","value":"K7"}],"birthday":"2024-01-01T00:00:00"}',
    b'{"identities":[{"kind":"card_no","value":"K8"}],"gender":true}',
    b'{"identities":null}',
    b'{"identities":[null]}',
    b'{"identities":{}}',
    b"{}",
    b'{"identities":[{"kind":[]}]}',
    b'{"identities":[{"kind":"card_no","value":"K9"}],"attributes":null}',
]


async def test_no_line_fails_the_file_customers(api: Api, work: Work) -> None:
    for hostile in HOSTILE:
        ended = await imported(
            api,
            work,
            hostile + b"\n" + b'{"identities":[{"kind":"card_no","value":"G1"}]}\n',
            kind="customers",
            format="ndjson",
        )
        assert ended["state"] == "done", hostile[:100]


EVENTS = [
    b'"type":"view","occurred_at":"2026-01-05T10:00:00","properties":{"a":1e308,"b":123456789012345678901234567890}',
    b'"type":"view","occurred_at":"0001-01-01T00:00:00+14:00"',
    b'"type":"view","occurred_at":"1066-01-01T00:00:00"',
    b'"type":"view","occurred_at":"9999-01-01T00:00:00"',
    b'"type":"view","occurred_at":1e300',
    b'"type":"view","occurred_at":-62135596800',
    b'"type":"view","occurred_at":"2026-01-05T10:00:00","properties":{"a":"\\ud800"}',
    b'"type":"view","occurred_at":"2026-01-05T10:00:00","properties":{"\\u0001":"\\u0001"}',
    b'"type":"view","occurred_at":"2026-01-05T10:00:00","store_id":9223372036854775808',
    b'"type":"view","occurred_at":"2026-01-05T10:00:00","properties":{"a":' + b"[" * 20 + b"]" * 20 + b"}",
]


async def test_no_line_fails_the_file_events(api: Api, work: Work) -> None:
    for n, hostile in enumerate(EVENTS):
        head = b'{"event_id":"H%d","identities":[{"kind":"card_no","value":"K1"}],' % n
        good = (
            b'{"event_id":"G%d","identities":[{"kind":"card_no","value":"K1"}],"type":"view","occurred_at":"2026-01-05T10:00:00"}'
            % n
        )
        ended = await imported(api, work, head + hostile + b"}\n" + good + b"\n", kind="events", format="ndjson")
        assert ended["state"] == "done", hostile[:100]


ORDERS = [
    b'{"order_no":"O1","identities":[{"kind":"card_no","value":"K1"}],"amount_fen":1e12,"paid_at":"0001-01-01T00:00:00+14:00"}',
    b'{"order_no":"O2","identities":[{"kind":"card_no","value":"K1"}],"amount_fen":1,"paid_at":"2020-01-01T00:00:00","updated_at":"1066-01-01T00:00:00"}',
    b'{"order_no":"O3","identities":[{"kind":"card_no","value":"K1"}],"amount_fen":1,"paid_at":"2020-01-01T00:00:00","channel":"\\u0007"}',
    b'{"refund_no":"R1","order_no":"O3","amount_fen":1,"refunded_at":"9999-12-31T23:59:59-12:00"}',
    b'{"refund_no":null,"order_no":"O3"}',
    b'{"refund_no":"R2","order_no":"O3","amount_fen":1,"refunded_at":"2020-01-01T00:00:00","version":9007199254740993}',
]


async def test_no_line_fails_the_file_orders(api: Api, work: Work) -> None:
    for hostile in ORDERS:
        ended = await imported(api, work, hostile + b"\n", kind="orders", format="ndjson")
        assert ended["state"] == "done", hostile[:100]


PEOPLE = [
    b'{"customer_id":99999999999999999999,"tags":["a"]}',
    b'{"customer_id":1,"tags":["\\u0007\\u200b"]}',
    b'{"customer_id":1.0,"tags":["a"]}',
    b'{"customer_id":true,"tags":["a"]}',
    b'{"tags":["a"]}',
    b'{"customer_id":"1","tags":[[]]}',
    b'{"identities":[{"kind":"card_no","value":"K1"}],"tags":["a","A"," a","\xef\xbd\x81"]}',
    b'{"identities":[{"kind":"card_no","value":"K1"}],"tags":["' + "天".encode() * 32 + b'"]}',
]


@pytest.mark.parametrize("kind", ["tags", "identities"])
async def test_no_line_fails_the_file_people(api: Api, work: Work, kind: str) -> None:
    await api.post("/v1/customers", {"identities": [card("K1")]})
    for hostile in PEOPLE:
        ended = await imported(api, work, hostile + b"\n", kind=kind, format="ndjson")
        assert ended["state"] == "done", hostile[:100]


CSVS = [
    "mobile,name\n13100000001," + "x" * 200000 + "\n",
    "mobile,name\n13100000001,\u0001\u202e\n",
    "mobile,store_id\n13100000001,99999999999999999\n",
    "mobile,member_since\n13100000001,0001-01-01 00:00\n",
    "mobile,created_at\n13100000001,9999-12-31 23:59\n",
    "card_no\n\u00ad\n",
    "card_no\n\u200b\n",
    "card_no\n" + "x" * 300 + "\n",
    "device\n \u3000\n",
    "email\na@b..com\n",
    "fans_id\n٣٤\n",
    "wechat_openid,wechat_appid\no1,\u0007\n",
    "email\na@" + "b" * 60 + ".com\n",
    "mobile,gender,birthday\n13100000001,1,0000-00-00\n",
]


async def test_no_line_fails_the_file_csv(api: Api, work: Work) -> None:
    for hostile in CSVS:
        ended = await imported(api, work, hostile, kind="customers")
        assert ended["state"] == "done", hostile[:100]


async def test_nobody_is_made_for_a_row_of_identities(api: Api, work: Work, shop: Shop, rows: Rows) -> None:
    device = {"kind": "device", "value": "D-1234567890"}
    await api.post("/v1/customers", {"identities": [device, {"kind": "mobile", "value": "13100000001"}]})
    await imported(api, work, "device,mobile\nD-1234567890,13100000002\n", kind="identities")
    assert await rows("select count(*) as n from customers where shop_id = $1", shop.id) == [{"n": 1}]


async def test_attributes_of_who_is_there(api: Api, work: Work) -> None:
    for name in ("pets", "cars"):
        await api.http.put(f"/v1/attributes/{name}", json={"type": "integer", "class": "public"})
    there = await api.post("/v1/customers", {"identities": [card("K1")], "attributes": {"pets": 1}})
    expected = {"skip": {"pets": 1}, "fill": {"pets": 1, "cars": 5}, "overwrite": {"pets": 4, "cars": 5}}
    for policy, kept in expected.items():
        content = lines({"identities": [card("K1")], "attributes": {"pets": 4, "cars": 5}})
        await imported(api, work, content, kind="customers", format="ndjson", policy=policy)
        assert (await api.get(f"/v1/customers/{there.json()['id']}")).json()["attributes"] == kept
    gone = lines({"identities": [card("K1")], "attributes": {"pets": None}})
    assert counts(await imported(api, work, gone, kind="customers", format="ndjson", policy="fill")) == (0, 0, 1, 0)
    assert counts(await imported(api, work, gone, kind="customers", format="ndjson")) == (0, 1, 0, 0)


async def test_an_identity_of_another_is_told_and_the_rest_of_the_row_is_in(
    api: Api, work: Work, shop: Shop, rows: Rows
) -> None:
    await api.post("/v1/customers", {"identities": [{"kind": "email", "value": "a@example.com"}]})
    await api.post("/v1/customers", {"identities": [card("K2")]})
    before = await rows("select count(*) as n from identities where shop_id = $1", shop.id)
    ended = await imported(api, work, "email,card_no,device\na@example.com,K2,dev-12345678\n", kind="identities")
    assert ended["refused"] == 1
    (error,) = (await api.get(f"/v1/imports/{ended['id']}/errors")).json()["items"]
    assert (error["code"], "those that nobody held are in" in error["reason"]) == ("identity_conflict", True)
    (after,) = await rows("select count(*) as n from identities where shop_id = $1", shop.id)
    assert after["n"] == before[0]["n"] + 1
    assert len((await api.get("/v1/merge-conflicts")).json()["items"]) == 1
