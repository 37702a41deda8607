"""A shop with one of everything that an id can name."""

from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

import httpx
import orjson

from app.access.shops import Shop
from tests.conftest import Api
from workers.house import House

# A port that nobody listens on: deliveries fail, and their rows stay.
NOWHERE = "http://127.0.0.1:1/hook"
TAG = "a tag that is there"
AS_FAST_AS_IT_GOES = {
    "reads_per_second": 100_000,
    "writes_per_second": 100_000,
    "batches_per_second": 10_000,
    "rows_per_day": 10**12,
}


@dataclass(frozen=True)
class Furnished:
    """`things` by the names under which paths, queries and bodies ask for them."""

    shop: Shop
    api: Api
    token: str
    things: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """The header that opens the shop."""
        return "Authorization", f"Bearer {self.api.client.api_key}"


async def furnish(shop: Shop, api: Api, house: House) -> Furnished:
    """Make one of everything over HTTP, and let the workers do what follows."""
    await unlimited(api)
    own = _own(shop)
    things: dict[str, Any] = {"store_id": 7, "code": "hello", "type": "fitting", "name": "height"} | own
    for store in (7, own["own_store"], own["copied_store"]):
        await _made(api, "PUT", f"/v1/stores/{store}", {"name": own["marker"]})
    for name in ("height", "size", own["own_name"], own["copied_name"]):
        await _made(api, "PUT", f"/v1/attributes/{name}", {"type": "text", "class": "personal"})
    customer = {"identities": _known(own["mobile"]), "name": own["marker"], "store_id": own["own_store"]}
    customer["attributes"] = {own["own_name"]: own["marker"]}
    made = await _made(api, "POST", "/v1/customers", customer)
    things |= {"customer_id": made["id"], "open_id": made["open_id"]}
    token = await token_of(shop, api)
    account = {"account_type": "YouZanAccount", "account_id": str(made["id"])}
    await _made(
        api,
        "POST",
        f"/api/youzan.scrm.tag.relation.add/4.0.0?access_token={token}",
        account | {"tags": [{"tag_name": TAG}]},
    )
    category = await _made(api, "POST", "/v1/tag-categories", {"name": own["marker"]})
    things["category_id"] = (await _made(api, "POST", "/v1/tag-categories", {"name": "an empty one"}))["id"]
    things["tag_id"] = (await _made(api, "POST", "/v1/tags", {"name": own["marker"], "category_id": category["id"]}))[
        "id"
    ]
    carriers = {"customer_ids": [made["id"]], "reason": own["marker"]}
    await _made(api, "POST", f"/v1/tags/{things['tag_id']}/customers", carriers)
    rule = {"kind": "date", "field": "registered", "within": {"last": {"days": 9_000}}}
    for kind, told in (
        ("segment_id", {"name": own["marker"], "rule": rule}),
        ("list_id", {"name": f"{own['marker']} list", "kind": "static", "customer_ids": [made["id"]]}),
        ("old_segment_id", {"name": f"{own['marker']} old", "rule": rule}),
    ):
        things[kind] = (await _made(api, "POST", "/v1/segments", told))["segment_id"]
    spare = [{"identities": [{"kind": "card_no", "value": f"C-{number}"}]} for number in range(4)]
    await _made(api, "POST", "/v1/customers/batch", {"customers": spare})
    things |= await _merged(api)
    consent = {"customer_id": made["id"], "channel": "webhook", "state": "granted", "source": "a till"}
    for _ in range(2):
        await _made(api, "POST", "/v1/consents", consent)
    for number in range(2):
        order = {"identities": customer["identities"], "paid_at": "2026-01-02T03:04:05", "amount_fen": 100}
        await _made(api, "POST", "/v1/orders", order | {"order_no": f"{own['order_no']}{'x' * number}"})
    refund = {"refund_no": "R-1", "order_no": own["order_no"], "amount_fen": 1, "refunded_at": "2026-01-03T03:04:05"}
    await _made(api, "POST", "/v1/refunds", refund)
    for type_ in ("fitting", own["own_type"], own["copied_type"]):
        await _made(api, "PUT", f"/v1/event-types/{type_}", {"properties": {"sku": {"kind": "text"}}})
    event = {"identities": customer["identities"], "type": "view", "occurred_at": "2026-01-02T03:04:05"}
    await _made(api, "POST", "/v1/events", event | {"event_id": own["event_no"]})
    for number in range(2):  # a type that nobody declares
        event |= {"event_id": f"{own['event_no']}-{number}", "type": "nothing", "properties": {"sku": own["marker"]}}
        things["invalid_event_id"] = (await _made(api, "POST", "/v1/events", event))["id"]
    for code, body in (
        ("hello", "Hello {name}"),
        (own["own_code"], own["marker"]),
        (own["copied_code"], "Hello {name}"),
    ):
        await _made(api, "PUT", f"/v1/templates/{code}", {"category": "transactional", "body": body})
    top = {"name": "top", "label": own["marker"], "when": [{"field": "orders", "at_least": 1}]}
    tiers = {"name": own["marker"], "tiers": [top, {"name": "rest", "label": "The rest"}]}
    await _made(api, "PUT", "/v1/scores/tiers", {"definition": tiers})
    endpoint = await _made(api, "POST", "/v1/webhooks", {"url": NOWHERE, "kinds": ["touch.requested"]})
    await _made(api, "POST", "/v1/webhooks", {"url": NOWHERE, "kinds": ["tier.changed"]})
    await _made(api, "POST", "/v1/suppressions", {"identity": spare[0]["identities"][0], "reason": "asked"})
    asked = {"template": "hello", "variables": {"name": "you"}, "audience": {"customer_ids": [made["id"]]}}
    await _made(api, "POST", "/v1/push-sources", {"client_id": own["client_id"], "client_secret": "shared"})
    message = await _pushed(api, shop, own["client_id"])
    request = {}
    for key in ("first", "second"):
        request = await _made(api, "POST", "/v1/triggers/touches", asked, {"Idempotency-Key": key})
    export = await _made(api, "POST", "/v1/exports", {"kind": "customers"})
    run = await _made(api, "POST", "/v1/triggers/rescore", {"as_of": "2026-02-01"})
    await _made(api, "POST", "/v1/triggers/rescore", {})
    house.entry.shops.forget(shop.id)
    await house.rounds.until_idle(shop.id)
    touch = (await _made(api, "GET", f"/v1/touches?request_id={request['request_id']}"))["items"][0]
    delivery = (await _made(api, "GET", f"/v1/webhooks/{endpoint['id']}/deliveries"))["items"][0]
    file = b"mobile,name\n%s,\n1,2\n1,3\n" % own["mobile"].encode()
    imported = (await api.http.post("/v1/imports", params={"kind": "customers"}, content=file)).json()
    await house.rounds.until_idle(shop.id)
    things |= {
        "import_id": imported["id"],
        "endpoint_id": endpoint["id"],
        "delivery_id": delivery["id"],
        "request_id": request["request_id"],
        "touch_id": touch["id"],
        "job_id": run["job_id"],
        "export_id": export["id"],
        "run": run["run_id"],
        "message_id": message,
    }
    return Furnished(shop, api, token, things)


async def _merged(api: Api) -> dict[str, Any]:
    """A merge, two pairs that wait for a decision, and someone to merge with."""
    pairs = [
        [{"kind": "card_no", "value": f"M-{number}"}, {"kind": "email", "value": f"m{number}@example.com"}]
        for number in range(4)
    ]
    people = [
        [(await _made(api, "POST", "/v1/customers", {"identities": [one]}))["id"] for one in pair] for pair in pairs
    ]
    merge = await _made(api, "POST", f"/v1/customers/{people[2][0]}/merges", {"other_id": people[2][1]})
    conflict = {}
    for pair in pairs[:2]:
        conflict = await _made(api, "POST", "/v1/customers", {"identities": pair})
    return {"merge_id": merge["id"], "conflict_id": conflict["merge_conflicts"][0], "other_id": people[3][0]}


def _own(shop: Shop) -> dict[str, Any]:
    """What only this shop has."""
    return {
        "mobile": f"139{shop.id:08}",
        "marker": f"记号{shop.id}",
        "own_store": 1_000_000 + shop.id,
        "own_code": f"only-{shop.id}",
        # Two more, for requests by which another shop makes one of the same name for itself.
        "copied_store": 2_000_000 + shop.id,
        "copied_code": f"copied-{shop.id}",
        "own_type": f"only-{shop.id}",
        "copied_type": f"copied-{shop.id}",
        "own_name": f"only_{shop.id}",
        "copied_name": f"copied_{shop.id}",
        "order_no": f"E-{shop.id}",
        "event_no": f"V-{shop.id}",
        "client_id": f"app-{shop.id}",
    }


def _known(mobile: str) -> list[dict[str, str]]:
    return [
        {"kind": "mobile", "value": mobile},
        {"kind": "external_id", "value": "X-1", "scope": "pos"},
        {"kind": "fans_id", "value": "77"},
        {"kind": "wechat_openid", "value": "oWx7"},
        {"kind": "wechat_unionid", "value": "uWx7"},
    ]


async def _pushed(api: Api, shop: Shop, client_id: str) -> str:
    """A message that Youzan pushed, of a type that asks for nothing. Returns our id of it."""
    body = orjson.dumps({"type": "POINTS", "id": "1", "kdt_id": shop.id, "msg_id": f"M-{shop.id}"})
    signed = md5(client_id.encode() + body + b"shared", usedforsecurity=False).hexdigest()
    answer = await api.http.post(f"/youzan/push/{shop.id}", content=body, headers={"Event-Sign": signed})
    assert answer.status_code == 200, answer.text
    found: str = (await _made(api, "GET", "/v1/push-messages"))["items"][0]["id"]
    return found


async def unlimited(api: Api) -> None:
    """Let the caller ask as fast as it can: refusals for speed would hide all others."""
    await _made(api, "PUT", "/v1/shop/settings", {"limits": AS_FAST_AS_IT_GOES})


async def token_of(shop: Shop, api: Api) -> str:
    """An access token, as clients of the façade get theirs."""
    asked = {"client_id": api.client.client_id, "client_secret": api.client.client_secret}
    answer = await _made(api, "POST", "/auth/token", asked | {"authorize_type": "silent", "grant_id": shop.id})
    token: str = answer["data"]["access_token"]
    return token


async def _made(api: Api, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    answer: httpx.Response = await api.http.request(method, path, json=body, headers=headers)
    assert answer.is_success, (method, path, answer.text)
    return answer.json()
