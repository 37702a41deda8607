"""Templates and touch requests over HTTP: what is asked for, once per key, and what the planning writes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.changes import jobs
from app.changes.jobs import Lease, LeaseLost
from app.core.ids import derived_id
from app.touches.jobs import plan_touches
from tests.conftest import Api, MakeApi, Rows

Work = Callable[[], Awaitable[None]]
BODY: dict[str, Any] = {"category": "transactional", "body": "Order {no} is ready"}


async def people(api: Api, count: int) -> list[int]:
    """So many customers."""
    batch = [{"identities": [{"kind": "external_id", "value": f"P{n}", "scope": "pos"}]} for n in range(count)]
    answer = await api.post("/v1/customers/batch", {"customers": batch})
    return [row["customer_id"] for row in answer.json()["results"]]


async def put(api: Api, code: str = "ready", **changes: Any) -> Any:
    """A template."""
    answer = await api.http.put(f"/v1/templates/{code}", json=BODY | changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


def wanted(customer_ids: list[int], **changes: Any) -> dict[str, Any]:
    """A request for touches."""
    return {"template": "ready", "variables": {"no": "7"}, "audience": {"customer_ids": customer_ids}} | changes


async def ask(api: Api, body: dict[str, Any], key: str | None = "k-1") -> Any:
    """The answer to a request for touches."""
    return await api.post("/v1/triggers/touches", body, headers={"Idempotency-Key": key} if key is not None else {})


async def test_templates_are_put_read_and_listed(api: Api) -> None:
    first = await put(api)
    assert (first["variables"], first["purpose"], first["channel"]) == (["no"], "marketing", "webhook")
    second = await put(api, body="{a}{b}", category="marketing", purpose="news")
    assert second["created_at"] == first["created_at"]
    await put(api, "another")
    assert (await api.get("/v1/templates/ready")).json() == second
    listed = (await api.get("/v1/templates", params={"limit": 1})).json()
    assert [template["code"] for template in listed["items"]] == ["another"]
    rest = (await api.get("/v1/templates", params={"cursor": listed["next_cursor"]})).json()
    assert [template["code"] for template in rest["items"]] == ["ready"]
    for changes in ({"body": "{"}, {"category": "ad"}, {"channel": "sms"}, {"body": ""}, {"extra": 1}):
        refused = await api.http.put("/v1/templates/bad", json=BODY | changes)
        assert refused.status_code == 422, refused.text
    assert (await api.get("/v1/templates/bad")).json()["code"] == "template_not_found"


async def test_a_request_becomes_planned_touches(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    await put(api)
    ids = await people(api, 3)
    answer = await ask(api, wanted([ids[0], *ids, 1, 2]))
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert (accepted["skipped"], accepted["skipped_customer_ids"]) == (2, [1, 2])
    assert await rows("select id from touches where shop_id = $1", shop.id) == []
    (job,) = await rows("select * from queued_jobs where shop_id = $1", shop.id)
    assert (job["kind"], job["key"], str(job["id"])) == ("plan_touches", accepted["request_id"], accepted["job_id"])
    await work()
    touches = await rows("select * from touches where shop_id = $1 order by customer_id", shop.id)
    assert [touch["customer_id"] for touch in touches] == sorted(ids)
    assert [touch["id"] for touch in touches] == [derived_id("touch", shop.id, "k-1", number) for number in sorted(ids)]
    followed = (await api.get(f"/v1/triggers/touches/{accepted['request_id']}")).json()
    assert (followed["planning"], followed["planned"], followed["touches"]) == ("done", 3, {"failed": 3})
    listed = (await api.get("/v1/touches", params={"request_id": accepted["request_id"], "state": "failed"})).json()
    assert {touch["customer_id"] for touch in listed["items"]} == set(ids)
    assert {touch["reason"] for touch in listed["items"]} == {"no_endpoint"}
    page = (await api.get("/v1/touches", params={"limit": 2})).json()
    rest = (await api.get("/v1/touches", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert len({touch["id"] for touch in page["items"] + rest["items"]}) == 3
    assert (await api.get("/v1/touches", params={"state": "planned"})).json()["items"] == []


async def test_a_key_stands_for_one_request_of_the_shop_whoever_asks(
    api: Api, make_api: MakeApi, shop: Shop, rows: Rows, work: Work
) -> None:
    await put(api)
    ids = await people(api, 2)
    callers = [api, *[await make_api(shop) for _ in range(7)]]
    answers = await asyncio.gather(*(ask(caller, wanted(ids)) for caller in callers))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.text for answer in answers}) == 1
    await put(api, body="changed since, without variables")
    again = await ask(await make_api(shop), wanted(ids[::-1]))
    assert (again.status_code, again.text) == (200, answers[0].text)
    assert (await ask(api, wanted(ids))).text == answers[0].text
    for changed in (wanted(ids[:1]), wanted(ids, variables={"no": "8"}), wanted(ids, audience={"tier": "vip"})):
        for caller in (api, await make_api(shop)):
            refused = await ask(caller, changed)
            assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
            assert refused.json()["field"] == "Idempotency-Key"
    await work()
    assert len(await rows("select id from touch_requests where shop_id = $1", shop.id)) == 1
    assert len(await rows("select id from queued_jobs where shop_id = $1", shop.id)) == 1
    assert len(await rows("select id from touches where shop_id = $1", shop.id)) == 2


@pytest.mark.parametrize("key", [None, "", "x" * 129, "snow\tman"])
async def test_the_key_is_required(api: Api, key: str | None) -> None:
    answer = await ask(api, wanted([1]), key)
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


async def test_what_a_request_cannot_ask(api: Api, shop: Shop, rows: Rows) -> None:
    await put(api)
    (customer_id,) = await people(api, 1)
    for changes, status, code, field in (
        ({"variables": {}}, 422, "invalid", "variables.no"),
        ({"variables": {"no": "1", "nmae": "x"}}, 422, "invalid", "variables.nmae"),
        ({"variables": {"no": 1}}, 422, "invalid", "variables.no"),
        ({"template": "gone"}, 404, "template_not_found", "template"),
        ({"audience": {}}, 422, "invalid", "audience"),
        ({"audience": {"customer_ids": [1], "tier": "vip"}}, 422, "invalid", "audience"),
        ({"audience": {"customer_ids": []}}, 422, "invalid", "audience.customer_ids"),
        ({"audience": {"customer_ids": [1] * 10_001}}, 422, "invalid", None),  # no list is longer
        ({"audience": {"customer_ids": [2**53]}}, 422, "invalid", "audience.customer_ids.0"),
        ({"audience": {"tier": "gold"}}, 422, "invalid", "audience.tier"),
    ):
        answer = await ask(api, wanted([customer_id], **changes))
        refusal = answer.json()
        assert (answer.status_code, refusal["code"], refusal.get("field")) == (status, code, field), answer.text
    assert await rows("select id from touch_requests where shop_id = $1", shop.id) == []
    assert await rows("select id from queued_jobs where shop_id = $1", shop.id) == []


async def test_a_tier_is_an_audience(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    await put(api)
    ids = await people(api, 6)
    await work()
    await rows(
        "insert into customer_scores (shop_id, customer_id, tier, created_at) "
        "select $1, id, case when id = any($2) then 'vip' else 'regular' end, now() "
        "from unnest($3::bigint[]) as t (id) "
        "on conflict (shop_id, customer_id) do update set tier = excluded.tier returning 1",
        shop.id,
        ids[:4],
        ids,
    )
    accepted = (await ask(api, wanted([], audience={"tier": "vip"}))).json()
    await work()
    touches = await rows("select customer_id from touches where shop_id = $1", shop.id)
    assert sorted(touch["customer_id"] for touch in touches) == sorted(ids[:4])
    assert (await api.get(f"/v1/jobs/{accepted['job_id']}")).json()["total"] == 4


async def test_planning_resumes_and_a_stale_worker_adds_nothing(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    await put(api)
    ids = await people(api, 1000) + (await people_more(api, 5))
    accepted = (await ask(api, wanted(ids))).json()
    async with entry.shop(shop.id) as (db, _):
        row = await db.fetch_one(jobs.CLAIM, shop_id=shop.id, kinds=["plan_touches"], lease_seconds=60.0, crash_limit=3)
    assert row is not None
    stale = Lease(entry, shop.id, row["id"], row["attempt"], row["arguments"], 60.0)
    # the worker stands still, its lease ends, another one takes over
    await rows("update queued_jobs set due_at = now() where shop_id = $1 returning id", shop.id)
    async with entry.shop(shop.id) as (db, _):
        taken = await db.fetch_one(
            jobs.CLAIM, shop_id=shop.id, kinds=["plan_touches"], lease_seconds=60.0, crash_limit=3
        )
    assert taken is not None
    with pytest.raises(LeaseLost):
        await plan_touches(stale)
    assert await rows("select id from touches where shop_id = $1", shop.id) == []
    # the new one did a chunk before it died as well
    live = Lease(entry, shop.id, taken["id"], taken["attempt"], taken["arguments"], 60.0)
    done = sorted(ids)[999]
    await live.report(1000, 1005, {"after": done, "planned": 1000})
    await rows(
        "update queued_jobs set due_at = now() where shop_id = $1 and kind = $2 returning id", shop.id, "plan_touches"
    )
    await rows("update queued_jobs set crashes = 0 where shop_id = $1 returning id", shop.id)
    await work()
    assert len(await rows("select id from touches where shop_id = $1", shop.id)) == 5
    job = (await api.get(f"/v1/jobs/{accepted['job_id']}")).json()
    assert (job["state"], job["done"], job["result"]) == ("done", 1005, {"planned": 1005})


async def people_more(api: Api, count: int) -> list[int]:
    """Customers beside those of `people`."""
    batch = [{"identities": [{"kind": "external_id", "value": f"Q{n}", "scope": "pos"}]} for n in range(count)]
    answer = await api.post("/v1/customers/batch", {"customers": batch})
    return [row["customer_id"] for row in answer.json()["results"]]


async def test_scopes_and_other_shops(api: Api, make_api: MakeApi, shop: Shop, other_shop: Shop, work: Work) -> None:
    await put(api)
    ids = await people(api, 1)
    accepted = (await ask(api, wanted(ids))).json()
    await work()
    (touch,) = (await api.get("/v1/touches")).json()["items"]
    stranger = await make_api(other_shop)
    own = await ask(stranger, wanted(ids))
    assert (own.status_code, own.json()["code"]) == (404, "template_not_found")
    await put(stranger)
    skipped = (await ask(stranger, wanted(ids))).json()
    assert skipped["skipped_customer_ids"] == ids
    assert UUID(skipped["request_id"]) != UUID(accepted["request_id"])
    for path in (f"/v1/triggers/touches/{accepted['request_id']}", f"/v1/touches/{touch['id']}"):
        assert (await stranger.get(path)).status_code == 404
        assert (await api.get(path)).status_code == 200
    listed = await stranger.get("/v1/touches", params={"request_id": accepted["request_id"]})
    assert listed.json()["items"] == []
    clerk = await make_api(shop, "customers:write,webhooks")
    assert (await ask(clerk, wanted(ids))).status_code == 403
    assert (await clerk.http.put("/v1/templates/ready", json=BODY)).status_code == 403
    for path in ("/v1/templates", "/v1/templates/ready", "/v1/touches", f"/v1/touches/{touch['id']}"):
        assert (await clerk.get(path)).status_code == 403
