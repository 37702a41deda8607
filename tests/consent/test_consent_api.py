"""The consent ledger and the suppression list over HTTP, and whom they refuse."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.consent.repository import refusals
from tests.conftest import Api, MakeApi, Rows

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MOBILE = {"kind": "mobile", "value": "13700000001"}


async def customer(api: Api, identity: dict[str, str] = MOBILE) -> int:
    """A customer's number."""
    return int((await api.post("/v1/customers", {"identities": [identity]})).json()["id"])


def consent(customer_id: int, channel: str, state: str, minute: int = 0, **more: Any) -> dict[str, Any]:
    """A ledger entry, so many minutes after noon."""
    occurred_at = (NOON + timedelta(minutes=minute)).isoformat()
    entry = {"customer_id": customer_id, "channel": channel, "state": state, "source": "a form"}
    return entry | {"occurred_at": occurred_at} | more


async def refused(
    entry: Entry, shop: Shop, customer_id: int, *, marketing: bool = True, purpose: str = "marketing"
) -> str | None:
    """Why the customer must not get a webhook message; None when they may."""
    async with entry.shop(shop.id) as (db, _):
        return (await refusals(db, shop.id, [customer_id], purpose, "webhook", marketing=marketing)).get(customer_id)


async def test_entries_are_kept_and_the_newest_holds(api: Api, shop: Shop, rows: Rows) -> None:
    customer_id = await customer(api)
    for minute, state in enumerate(["granted", "withdrawn", "granted"]):
        answer = await api.post("/v1/consents", consent(customer_id, "webhook", state, minute))
        assert answer.status_code == 201, answer.text
    # one that happened earlier and is told late changes nothing
    await api.post("/v1/consents", consent(customer_id, "webhook", "withdrawn", -60))
    await api.post("/v1/consents", consent(customer_id, "*", "granted", 1, purpose="news"))
    listed = (await api.get(f"/v1/customers/{customer_id}/consents")).json()
    assert [(s["purpose"], s["channel"], s["state"]) for s in listed["current"]] == [
        ("marketing", "webhook", "granted"),
        ("news", "*", "granted"),
    ]
    assert len(listed["history"]) == 5
    assert listed["next_cursor"] is None
    stored = await rows("select * from consents where shop_id = $1 order by id", shop.id)
    assert [row["state"] for row in stored] == ["granted", "withdrawn", "granted", "withdrawn", "granted"]
    assert all(row["origin_customer_id"] == customer_id for row in stored)


async def test_history_comes_in_pages(api: Api) -> None:
    customer_id = await customer(api)
    for minute in range(5):
        await api.post("/v1/consents", consent(customer_id, "sms", "granted", minute // 2))
    seen: list[int] = []
    cursor = None
    while True:
        parameters = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(f"/v1/customers/{customer_id}/consents", params=parameters)).json()
        seen += [entry["id"] for entry in page["history"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    broken = await api.get(f"/v1/customers/{customer_id}/consents", params={"cursor": "WzEsMl0"})
    assert broken.status_code == 422


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "no_consent"),
        ([("sms", "granted", 0)], "no_consent"),
        ([("webhook", "granted", 0)], None),
        ([("*", "granted", 0)], None),
        ([("webhook", "withdrawn", 0)], "consent_withdrawn"),
        ([("*", "withdrawn", 0)], "consent_withdrawn"),
        ([("webhook", "granted", 0), ("webhook", "withdrawn", 1)], "consent_withdrawn"),
        ([("webhook", "withdrawn", 1), ("webhook", "granted", 0)], "consent_withdrawn"),
        ([("webhook", "granted", 0), ("webhook", "withdrawn", 0)], "consent_withdrawn"),
        ([("webhook", "granted", 0), ("*", "withdrawn", 1)], "consent_withdrawn"),
        ([("*", "withdrawn", 0), ("webhook", "granted", 1)], None),
        ([("*", "granted", 0), ("webhook", "withdrawn", 1)], "consent_withdrawn"),
        # by name it was withdrawn, and by name only it comes back
        ([("webhook", "withdrawn", 0), ("*", "granted", 1)], "consent_withdrawn"),
        ([("webhook", "withdrawn", 0), ("*", "granted", 1), ("webhook", "granted", 2)], None),
        ([("*", "withdrawn", 0), ("webhook", "granted", 1), ("*", "granted", 2)], None),
    ],
)
async def test_who_may_be_contacted(
    api: Api, entry: Entry, shop: Shop, said: Sequence[tuple[str, str, int]], reason: str | None
) -> None:
    customer_id = await customer(api)
    for channel, state, minute in said:
        assert (await api.post("/v1/consents", consent(customer_id, channel, state, minute))).status_code == 201
    assert await refused(entry, shop, customer_id) == reason
    assert await refused(entry, shop, customer_id, purpose="another") == "no_consent"
    assert await refused(entry, shop, customer_id, marketing=False) is None


async def test_consent_by_identity_and_what_is_refused(api: Api, shop: Shop, rows: Rows) -> None:
    customer_id = await customer(api)
    entry = {"identity": MOBILE, "channel": "*", "state": "granted", "source": "a till"}
    assert (await api.post("/v1/consents", entry)).json()["customer_id"] == customer_id
    unknown = {"kind": "mobile", "value": "13700009999"}
    soon = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    later = (datetime.now(UTC) + timedelta(minutes=6)).isoformat()
    for change, status, code, field in (
        ({"identity": unknown}, 404, "customer_not_found", "identity"),
        ({"occurred_at": later}, 422, "invalid", "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, 422, "invalid", None),
        ({"customer_id": customer_id}, 422, "invalid", None),
        ({"identity": None, "customer_id": 1}, 404, "customer_not_found", "customer_id"),
        ({"channel": "Fax!"}, 422, "invalid", "channel"),
        ({"source": ""}, 422, "invalid", "source"),
        ({"state": "maybe"}, 422, "invalid", "state"),
    ):
        answer = await api.post("/v1/consents", entry | change)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (change, answer.text)
        if field:
            assert answer.json()["field"] == field
    assert (await api.post("/v1/consents", entry | {"occurred_at": soon})).status_code == 201
    assert len(await rows("select id from consents where shop_id = $1", shop.id)) == 2


async def test_suppression_by_identity_comes_before_consent_and_before_the_customer(
    api: Api, entry: Entry, shop: Shop, rows: Rows
) -> None:
    put = await api.post("/v1/suppressions", {"identity": MOBILE, "channel": "webhook", "reason": "asked us"})
    assert (put.status_code, put.json()) == (201, {"identities": 1})
    customer_id = await customer(api)
    await api.post("/v1/consents", consent(customer_id, "webhook", "granted"))
    assert await refused(entry, shop, customer_id) == "suppressed"
    assert await refused(entry, shop, customer_id, marketing=False) == "suppressed"
    (row,) = await rows("select * from suppressions where shop_id = $1", shop.id)
    assert b"13700000001" not in row["value_hash"]
    other = {"identity": MOBILE, "channel": "sms"}
    assert (await api.post("/v1/suppressions/removals", other)).json() == {"identities": 0}
    assert await refused(entry, shop, customer_id) == "suppressed"
    same = {"identity": MOBILE, "channel": "webhook"}
    assert (await api.post("/v1/suppressions/removals", same)).json() == {"identities": 1}
    assert await refused(entry, shop, customer_id) is None


async def test_suppression_of_a_customer_covers_every_identity(api: Api, entry: Entry, shop: Shop, rows: Rows) -> None:
    both = [MOBILE, {"kind": "email", "value": "a@example.com"}]
    customer_id = (await api.post("/v1/customers", {"identities": both})).json()["id"]
    for _ in range(2):
        put = await api.post("/v1/suppressions", {"customer_id": customer_id, "reason": "asked us"})
        assert put.json() == {"identities": 2}
    assert len(await rows("select * from suppressions where shop_id = $1", shop.id)) == 2
    assert await refused(entry, shop, customer_id, marketing=False) == "suppressed"
    await api.post("/v1/suppressions/removals", {"identity": MOBILE})
    assert await refused(entry, shop, customer_id, marketing=False) == "suppressed"
    assert (await api.post("/v1/suppressions/removals", {"customer_id": customer_id})).json() == {"identities": 1}
    assert await refused(entry, shop, customer_id, marketing=False) is None


async def test_an_inactive_or_unknown_customer_is_refused(api: Api, entry: Entry, shop: Shop, rows: Rows) -> None:
    customer_id = await customer(api)
    await api.post("/v1/consents", consent(customer_id, "*", "granted"))
    await rows("update customers set status = 'locked' where shop_id = $1 returning id", shop.id)
    assert await refused(entry, shop, customer_id, marketing=False) == "customer_inactive"
    assert await refused(entry, shop, 1) == "customer_inactive"


async def test_scopes_and_other_shops(api: Api, make_api: MakeApi, shop: Shop, other_shop: Shop) -> None:
    customer_id = await customer(api)
    stranger = await make_api(other_shop)
    assert (await stranger.post("/v1/consents", consent(customer_id, "*", "granted"))).status_code == 404
    assert (await stranger.get(f"/v1/customers/{customer_id}/consents")).status_code == 404
    for path, more in (("", {"reason": "x"}), ("/removals", {})):
        body = {"customer_id": customer_id} | more
        assert (await stranger.post(f"/v1/suppressions{path}", body)).status_code == 404
        writer = await make_api(shop, "customers:write")
        assert (await writer.post(f"/v1/suppressions{path}", body)).status_code == 403
    reader = await make_api(shop, "customers:read")
    assert (await reader.post("/v1/consents", consent(customer_id, "*", "granted"))).status_code == 403
    assert (await reader.get(f"/v1/customers/{customer_id}/consents")).status_code == 200
