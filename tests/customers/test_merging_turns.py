"""Odd turns of identities and merges: what is told of one record stays that record's, whatever comes meanwhile."""

import asyncio
import contextlib
from typing import Any

import asyncpg
import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.consent.repository import refusals
from app.customers import service as customers
from app.customers.schemas import IdentityWrite
from app.customers.service import Write
from app.refresh.service import refresh
from app.scoring import measuring
from app.scoring import repository as scores
from app.touches import service as touches
from tests.conftest import Api, Rows
from tests.customers.test_merging import Json, card, detail, merge, mobile, order, person, reverse, unionid

OLD = "2020-01-01T00:00:00"


def number(of: int) -> str:
    return "+86" + str(mobile(of)["value"])


def device(of: int) -> Json:
    return {"kind": "device", "value": f"phone-{of}"}


async def drop(api: Api, of: Json, identity: Json) -> Json:
    answer = await api.http.request("DELETE", f"/v1/customers/{of['id']}/identities", json={"identity": identity})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def mobile_of(one: Json) -> tuple[Any, bool]:
    return one["mobile"], one["mobile_verified"]


# ---- Mobiles of merged people


async def test_a_new_number_of_one_record_does_not_unverify_the_other_s(api: Api) -> None:
    a = await person(api, unionid(1), mobile(1, verified=True), created_at=OLD)
    b = await person(api, card(1))
    assert mobile_of(await detail(api, a["id"])) == (number(1), True)
    done = await merge(api, a, b)
    await person(api, card(1), mobile(2))
    assert mobile_of(await detail(api, a["id"])) == (number(1), True), "verified over unverified"
    await reverse(api, done["id"])
    assert mobile_of(await detail(api, a["id"])) == (number(1), True)
    assert mobile_of(await detail(api, b["id"])) == (number(2), False)


async def test_a_number_that_is_nobody_s_any_more_takes_no_other_number_with_it(api: Api) -> None:
    a = await person(api, unionid(1), mobile(1), created_at=OLD)
    b = await person(api, card(1), mobile(2))
    done = await merge(api, a, b)
    assert (await detail(api, a["id"]))["mobile"] == number(2)
    await drop(api, a, mobile(2))
    assert (await detail(api, a["id"]))["mobile"] == number(1)
    await reverse(api, done["id"])
    assert (await detail(api, a["id"]))["mobile"] == number(1)
    assert (await detail(api, b["id"]))["mobile"] is None


async def test_a_number_that_is_not_shown_is_not_kept_for_the_reversal_once_it_is_dropped(api: Api) -> None:
    a = await person(api, unionid(1), mobile(1), created_at=OLD)
    b = await person(api, card(1), mobile(2))
    done = await merge(api, a, b)
    await drop(api, a, mobile(1))  # the other record's is shown
    await reverse(api, done["id"])
    assert (await detail(api, a["id"]))["mobile"] is None


async def test_a_number_is_verified_whichever_record_says_so(api: Api) -> None:
    a = await person(api, unionid(1), mobile(1), created_at=OLD)
    b = await person(api, card(1))
    done = await merge(api, a, b)
    answer = await api.post(f"/v1/customers/{b['id']}/identities", {"identities": [mobile(1, verified=True)]})
    assert answer.status_code == 200
    assert mobile_of(await detail(api, a["id"])) == (number(1), True)
    await reverse(api, done["id"])
    assert mobile_of(await detail(api, a["id"])) == (number(1), True)
    assert mobile_of(await detail(api, b["id"])) == (None, False)


async def test_a_profile_s_mark_lands_on_the_number_that_is_shown(api: Api) -> None:
    a = await person(api, unionid(1), mobile(1), created_at=OLD)
    b = await person(api, card(1))
    await merge(api, a, b)
    assert (await api.patch(f"/v1/customers/{b['id']}", {"mobile_verified": True})).json()["mobile_verified"] is True


@pytest.mark.parametrize("policy", ["fill", "overwrite"])
async def test_proof_of_one_number_is_no_proof_of_another(entry: Entry, api: Api, shop: Shop, policy: Any) -> None:
    a = await person(api, card(1), mobile(2))
    await person(api, card(1), mobile(1))  # shown from now on
    told = [IdentityWrite(**card(1)), IdentityWrite(**mobile(2))]
    async with entry.shop(shop.id) as (db, of):
        await customers.upsert(db, of, entry.ids, [Write(told, {"mobile_verified": True}, policy=policy)])
    shown = await detail(api, a["id"])
    assert mobile_of(shown) == (number(1), False)
    assert [one["value"] for one in shown["identities"] if one["verified_at"]] == [number(2)]


# ---- Facts of one record


async def test_what_both_were_told_stays_both_s(api: Api) -> None:
    assert (await api.http.put("/v1/attributes/size", json={"type": "text", "class": "public"})).status_code == 200
    a = await person(api, card(1), name="王芳", attributes={"size": "M"}, created_at=OLD)
    b = await person(api, card(2))
    done = await merge(api, a, b)
    await person(api, card(2), name="王芳", attributes={"size": "M"})
    await reverse(api, done["id"])
    told = await detail(api, b["id"])
    assert (told["name"], told["attributes"]) == ("王芳", {"size": "M"})


async def test_a_consent_of_before_the_merge_that_is_told_late_lifts_nothing(api: Api) -> None:
    a, b = await person(api, card(1), created_at=OLD), await person(api, card(2))

    async def say(of: Json, state: str, at: str) -> None:
        body = {"customer_id": of["id"], "channel": "sms", "state": state, "source": "till", "occurred_at": at}
        assert (await api.post("/v1/consents", body)).status_code == 201

    await say(a, "withdrawn", "2025-01-01T00:00:00")
    await merge(api, a, b)
    await say(b, "granted", "2025-06-01T00:00:00")
    (current,) = (await api.get(f"/v1/customers/{a['id']}/consents")).json()["current"]
    assert current["state"] == "withdrawn"


# ---- Who is whom


async def test_whoever_lost_every_identity_is_joined_by_proof_only(api: Api) -> None:
    a, b = await person(api, card(1), name="A"), await person(api, mobile(1), name="B")
    await drop(api, a, card(1))
    answer = await api.post(f"/v1/customers/{a['id']}/identities", {"identities": [mobile(1)]})
    assert answer.status_code == 409, answer.text
    assert (await detail(api, a["id"]))["id"] != (await detail(api, b["id"]))["id"]


async def test_two_members_at_one_till_are_two(api: Api) -> None:
    a = await person(api, device(1), card(1))
    b = await person(api, device(1), card(2))
    assert a["id"] != b["id"]


async def test_who_is_joined_holds_no_more_than_one_person_may(api: Api, shop: Shop, rows: Rows) -> None:
    def openid(value: str) -> Json:
        return {"kind": "wechat_openid", "value": value, "scope": "app"}

    await person(api, mobile(1, verified=True), openid("x"))
    await person(api, unionid(1))
    both = await person(api, unionid(1), mobile(1), openid("y"))
    held = await rows(
        "select count(*) from identities where shop_id = $1 and customer_id = $2 and kind = 'wechat_openid'",
        shop.id,
        (await detail(api, both["id"]))["id"],
    )
    assert held[0]["count"] == 1


async def test_a_proof_that_comes_at_the_same_moment_is_kept(
    api: Api, shop: Shop, rows: Rows, database_url: str
) -> None:
    await person(api, mobile(1))
    await rows("update identities set last_seen_at = now() - interval '2 days' where shop_id = $1 returning 1", shop.id)
    other = await asyncpg.connect(database_url)
    try:
        proving = other.transaction()
        await proving.start()
        await other.execute(
            "update identities set verified_at = now(), last_seen_at = now() where shop_id = $1", shop.id
        )
        telling = asyncio.create_task(person(api, mobile(1)))
        for _ in range(200):
            if await rows("select 1 from pg_locks where not granted limit 1"):
                break
            await asyncio.sleep(0.01)
        await proving.commit()
        await telling
    finally:
        await other.close()
    (found,) = await rows("select verified_at from identities where shop_id = $1", shop.id)
    assert found["verified_at"] is not None


async def test_pages_of_a_timeline_lose_nothing_that_two_records_have_from_the_same_moment(
    api: Api, shop: Shop, rows: Rows
) -> None:
    a, b = await person(api, card(1), created_at=OLD), await person(api, card(2))
    (tag,) = await rows(
        "insert into tags (shop_id, name, created_at, updated_at) values ($1, 'tea', now(), now()) returning id",
        shop.id,
    )
    await rows(
        "insert into customer_tags (shop_id, customer_id, tag_id, origin_customer_id, source, actor, assigned_at) "
        "select $1, one, $2, one, 'manual', '', '2026-01-01' from unnest($3::bigint[]) as one returning 1",
        shop.id,
        tag["id"],
        [a["id"], b["id"]],
    )
    await merge(api, a, b)
    query: Json = {"kind": "tag", "limit": 1}
    found = []
    while True:
        page = (await api.get(f"/v1/customers/{a['id']}/timeline", params=query)).json()
        found += page["items"]
        if not page["next_cursor"]:
            break
        query["cursor"] = page["next_cursor"]
    assert len(found) == 2


# ---- Figures, while others are at work


async def _total(rows: Rows, shop: Shop) -> int:
    (found,) = await rows("select customers from customer_totals where shop_id = $1", shop.id)
    return int(found["customers"])


async def test_whoever_is_merged_while_a_run_measures_them_is_not_counted(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Any
) -> None:
    a, b = await person(api, card(1), created_at=OLD), await person(api, card(2))
    async with entry.shop(shop.id) as (db, of):  # a run that has read its chunk
        await merge(api, a, b)
        await work()
        await measuring.add_stats(db, of, [a["id"], b["id"]], await measuring.hold_published(db, of))
    await work()
    assert await _total(rows, shop) == 1


async def test_whoever_is_merged_while_they_are_looked_at_has_no_news(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Any
) -> None:
    a, b = await person(api, card(1), created_at=OLD), await person(api, card(2))
    await order(api, card(2), "B")
    await work()
    await api.post("/v1/triggers/rescore", {})
    await work()
    before = await rows("select * from tier_changes where shop_id = $1 and origin_customer_id = $2", shop.id, b["id"])
    async with entry.shop(shop.id) as (db, of):  # a refresh that has locked who it looks at
        assert await scores.lock(db, shop.id, [b["id"]], wait=False) == [b["id"]]
        await merge(api, a, b)
        await measuring.measure(db, of, [b["id"]], await measuring.hold_published(db, of))
    await work()
    after = await rows("select * from tier_changes where shop_id = $1 and origin_customer_id = $2", shop.id, b["id"])
    assert [row["to_tier"] for row in after] == [row["to_tier"] for row in before]


async def test_scores_that_are_written_while_they_are_forgotten_do_not_stay(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Any
) -> None:
    a, b = await person(api, card(1), created_at=OLD), await person(api, card(2))
    await work()
    await rows("delete from customer_scores where shop_id = $1 returning 1", shop.id)
    async with entry.shop(shop.id) as (db, of):
        assert await scores.lock(db, shop.id, [b["id"]], wait=True) == [b["id"]]
        await measuring.score(db, of, [b["id"]], await measuring.hold_published(db, of))
        await merge(api, a, b)
        forgetting = asyncio.create_task(_refresh(entry, shop))
        await asyncio.sleep(0.3)
    await forgetting
    await work()
    assert await rows("select 1 from customer_scores where shop_id = $1 and customer_id = $2", shop.id, b["id"]) == []


async def _refresh(entry: Entry, shop: Shop) -> None:
    async with entry.shop(shop.id) as (db, of):
        await refresh(db, of, limit=100)


async def test_a_touch_that_is_tried_again_does_not_reach_a_person_twice(
    api: Api, shop: Shop, rows: Rows, work: Any, entry: Entry
) -> None:
    a, b = await person(api, card(1), created_at=OLD), await person(api, card(2))
    assert (
        await api.http.put("/v1/templates/hello", json={"category": "transactional", "body": "hello"})
    ).status_code == 200
    asked = {"template": "hello", "variables": {}, "audience": {"customer_ids": [a["id"], b["id"]]}}
    await api.post("/v1/triggers/touches", asked, headers={"Idempotency-Key": "k"})
    await work()
    found = await rows("select id from touches where shop_id = $1 order by id", shop.id)
    await rows(
        "update touches set state = 'failed' where shop_id = $1 and id = $2 returning 1", shop.id, found[0]["id"]
    )
    await rows(
        "update touches set state = 'delivered' where shop_id = $1 and id = $2 returning 1", shop.id, found[1]["id"]
    )
    await merge(api, a, b)
    async with entry.shop(shop.id) as (db, of):
        await touches.reopen(db, of.id, found[0]["id"])
        assert await touches.still_allowed(db, of.id, [found[0]["id"]]) != {}


async def test_whoever_is_locked_stays_so_in_company(api: Api, shop: Shop, rows: Rows, entry: Entry) -> None:
    a, b = await person(api, unionid(1)), await person(api, card(2))
    await rows("update customers set status = 'locked' where shop_id = $1 and id = $2 returning 1", shop.id, b["id"])
    await merge(api, a, b)
    async with entry.shop(shop.id) as (db, of):
        assert await refusals(db, of.id, [a["id"]], "marketing", "sms", marketing=False) == {
            a["id"]: "customer_inactive"
        }


@pytest.mark.parametrize("huge", [2**53, 2**63, 2**70])
async def test_numbers_that_nobody_has(api: Api, huge: int) -> None:
    a = await person(api, card(1))
    for path in ("", "/profile", "/timeline", "/merges", "/identities", "/scores", "/consents"):
        assert (await api.get(f"/v1/customers/{huge}{path}")).status_code in (404, 422), path
    answer = await api.post(f"/v1/customers/{a['id']}/merges", {"other_id": huge})
    assert answer.status_code in (404, 422)
    assert (await api.post(f"/v1/customers/{huge}/merges", {"other_id": a["id"]})).status_code in (404, 422)


async def test_a_storm_of_merges_reversals_and_decisions_answers_everyone(api: Api, shop: Shop, rows: Rows) -> None:
    people = [await person(api, card(one), created_at=f"202{one}-01-01T00:00:00") for one in range(6)]
    pairs = [(people[one], people[other]) for one in range(6) for other in range(6) if one != other]

    async def storm(one: Json, other: Json) -> list[int]:
        codes = []
        answer = await api.post(f"/v1/customers/{one['id']}/merges", {"other_id": other["id"]})
        codes.append(answer.status_code)
        with contextlib.suppress(KeyError):
            codes.append((await api.post(f"/v1/merges/{answer.json()['id']}/reversal")).status_code)
        codes.append((await api.post("/v1/customers", {"identities": [card(1), card(2)], "name": "x"})).status_code)
        return codes

    codes = await asyncio.gather(*(storm(*pair) for pair in pairs))
    assert {code for some in codes for code in some} <= {200, 201, 409}
    wrong = await rows(
        "select i.kind from identities i join customers c on c.shop_id = i.shop_id and c.id = i.origin_customer_id "
        "where i.shop_id = $1 and i.customer_id <> coalesce(c.merged_into, c.id)",
        shop.id,
    )
    assert wrong == []
