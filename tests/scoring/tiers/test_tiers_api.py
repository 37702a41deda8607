"""/v1/scores/tiers: what counts, what another definition would do, and publishing it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.errors import StartOver
from app.core.ids import new_id
from app.scoring.tiers import service
from app.scoring.tiers.fields import FIELDS
from app.scoring.tiers.schemes import SCHEMES, VALUE
from tests.conftest import Api, MakeApi, Rows
from tests.scoring.tiers.people import stats, told

Json = dict[str, Any]
Work = Callable[[], Awaitable[None]]

TOP = {"field": "net_365d_fen", "top_share": 0.5, "among": "spenders"}
MINE: Json = {
    "name": "我的分层",
    "tiers": [
        {"name": "gold", "label": "金卡", "when": [TOP], "expected_share": [0.1, 0.2]},
        {"name": "asleep", "label": "沉睡", "when": [{"field": "silent_days", "more_than": 90}]},
        {"name": "rest", "label": "其余"},
    ],
}


async def put(api: Api, body: Json) -> httpx.Response:
    """Publish."""
    return await api.http.put("/v1/scores/tiers", json=body)


async def jobs(rows: Rows, shop: Shop) -> list[Json]:
    """Full runs that were asked for."""
    return await rows("select key, id, arguments from queued_jobs where shop_id = $1 and kind = 'rescore'", shop.id)


async def populated(rows: Rows, shop: Shop) -> None:
    """Ten people: four who spent, three who sleep, three who only registered; half of them with a tier of today."""
    day = shop.live_as_of()
    asleep = {"since_on": day - timedelta(days=400), "active_on": day - timedelta(days=91)}
    people = [
        *(stats(day, net_365d_fen=100 * n, orders=n, tier="gold" if n > 3 else "rest") for n in (1, 2, 3, 4)),
        *(stats(day, tier=tier, **asleep) for tier in ("asleep", "vip", None)),
        *(stats(day, tier=None) for _ in range(3)),
    ]
    await told(rows, shop, people)


async def test_before_anything_is_published_the_built_in_one_counts(api: Api, make_api: MakeApi, shop: Shop) -> None:
    answer = (await api.get("/v1/scores/tiers")).json()
    assert answer["version"] == 0
    assert answer["definition"] == VALUE.stored()
    assert answer["schemes"] == [scheme.stored() for scheme in SCHEMES.values()]
    assert [field["name"] for field in answer["fields"]] == list(FIELDS)
    assert {field["name"] for field in answer["fields"] if field["age"]} == {
        "recency_days",
        "silent_days",
        "since_days",
        "signal_days",
    }
    assert answer["last_run"] is None
    assert (await api.get("/v1/scores/tiers/versions")).json() == {"items": [], "next_cursor": None}
    reader = await make_api(shop, "scores:read")
    assert (await reader.get("/v1/scores/tiers")).status_code == 200
    for scopes, call in (
        ("triggers", reader.post("/v1/scores/tiers/preview", {"scheme": "growth"})),
        ("admin", put(reader, {"scheme": "growth"})),
    ):
        answer = await call
        assert (answer.status_code, answer.json()["needed_scope"]) == (403, scopes)
    till = await make_api(shop, "customers:read triggers")
    for answer in (
        await till.get("/v1/scores/tiers"),
        await till.get("/v1/scores/tiers/versions"),
        await till.post("/v1/scores/tiers/preview", {"scheme": "growth"}),
    ):
        assert (answer.status_code, answer.json()["needed_scope"]) == (403, "scores:read")


async def test_published_once_and_scored_with_a_run(api: Api, shop: Shop, other_shop: Shop, rows: Rows) -> None:
    first = await put(api, {"definition": MINE})
    assert first.status_code == 202, first.text
    assert first.json()["version"] == 1
    (job,) = await jobs(rows, shop)
    assert (job["key"], str(job["id"])) == ("tiers:1", first.json()["job_id"])
    assert orjson.loads(job["arguments"])["run_id"] == first.json()["run_id"]
    again = await put(api, {"definition": MINE})
    assert (again.status_code, again.json()) == (200, {"version": 1})
    second = await put(api, {"scheme": "growth"})
    assert second.json()["version"] == 2
    third = await put(api, {"definition": MINE})
    assert third.json()["version"] == 3
    assert sorted(job["key"] for job in await jobs(rows, shop)) == ["tiers:1", "tiers:2", "tiers:3"]
    stored = await rows(
        "select version, definition, actor from tier_definitions where shop_id = $1 order by version", shop.id
    )
    assert [row["version"] for row in stored] == [1, 2, 3]
    assert {row["actor"] for row in stored} == {api.client.client_id}
    assert orjson.loads(stored[1]["definition"]) == SCHEMES["growth"].stored()
    now = (await api.get("/v1/scores/tiers")).json()
    assert now["version"] == 3
    assert now["definition"]["tiers"][0]["when"] == [TOP]
    assert (await put(api, {"definition": now["definition"]})).json() == {"version": 3}, "as it is told"
    assert await rows("select 1 from tier_definitions where shop_id = $1", other_shop.id) == []


async def test_the_built_in_one_is_no_version_until_another_was_published(api: Api, shop: Shop, rows: Rows) -> None:
    answer = await put(api, {"scheme": "value"})
    assert (answer.status_code, answer.json()) == (200, {"version": 0})
    assert await jobs(rows, shop) == []
    await put(api, {"definition": MINE})
    assert (await put(api, {"scheme": "value"})).json()["version"] == 2


async def test_versions_are_listed_newest_first(api: Api) -> None:
    for scheme in ("growth", "absolute", "value", "growth", "absolute"):
        assert (await put(api, {"scheme": scheme})).status_code == 202
    seen, cursor = [], None
    while True:
        page = (
            await api.get("/v1/scores/tiers/versions", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [(row["version"], row["definition"]["name"]) for row in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [(5, "absolute"), (4, "growth"), (3, "value"), (2, "absolute"), (1, "growth")]
    assert (await api.get("/v1/scores/tiers/versions", params={"cursor": "nonsense"})).status_code == 422


async def test_of_those_who_publish_at_once_each_gets_a_version(api: Api, shop: Shop, rows: Rows) -> None:
    definitions = [MINE | {"name": f"{n}"} for n in range(8)]
    answers = await asyncio.gather(*(put(api, {"definition": one}) for one in definitions))
    assert [answer.status_code for answer in answers] == [202] * 8
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 9))
    assert len(await jobs(rows, shop)) == 8
    same = await asyncio.gather(*(put(api, {"definition": MINE}) for _ in range(8)))
    assert sorted(answer.status_code for answer in same) == [200] * 7 + [202]
    assert {answer.json()["version"] for answer in same} == {9}


@pytest.mark.parametrize("same", [False, True])
async def test_who_waited_for_another_publisher_starts_over(entry: Entry, shop: Shop, rows: Rows, same: bool) -> None:
    async def second() -> tuple[int, bool]:
        async with entry.shop(shop.id) as (db, _):
            return await service.publish(db, shop.id, SCHEMES["growth" if same else "absolute"], "second")

    async with entry.shop(shop.id) as (db, _):
        assert await service.current(db, shop.id) == (0, VALUE)
        assert await service.publish(db, shop.id, SCHEMES["growth"], "first") == (1, True)
        waiting = asyncio.create_task(second())
        waits = "select 1 from pg_locks where not granted and locktype = 'transactionid'"
        while not await rows(waits):  # noqa: ASYNC110 Postgres tells nobody
            await asyncio.sleep(0.01)
    if same:
        assert await waiting == (1, False)
    else:
        with pytest.raises(StartOver):
            await waiting
        assert await second() == (2, True)
    async with entry.shop(shop.id) as (db, _):
        assert await service.current(db, shop.id) == ((1, SCHEMES["growth"]) if same else (2, SCHEMES["absolute"]))


async def test_a_preview_tells_who_would_move_and_changes_nothing(
    api: Api, make_api: MakeApi, shop: Shop, other_shop: Shop, rows: Rows
) -> None:
    await populated(rows, shop)
    await populated(rows, other_shop)
    written = "select customer_id, tier, run_id from customer_scores where shop_id = $1 order by 1"
    before = await rows(written, shop.id)
    answer = await api.post("/v1/scores/tiers/preview", {"definition": MINE})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["as_of"], told["customers"], told["moving"]) == (shop.live_as_of().isoformat(), 10, 6)
    matrix = {(move["from_tier"], move["to_tier"]): move["customers"] for move in told["moves"]}
    assert matrix == {
        ("gold", "gold"): 1,
        ("rest", "gold"): 1,
        ("rest", "rest"): 2,
        ("asleep", "asleep"): 1,
        ("vip", "asleep"): 1,
        (None, "asleep"): 1,
        (None, "rest"): 3,
    }
    assert [(row["tier"], row["customers"], row["share"]) for row in told["tiers"]] == [
        ("gold", 2, 0.2),
        ("asleep", 3, 0.3),
        ("rest", 5, 0.5),
    ]
    assert told["warnings"] == []
    assert [(row["tier"], row["field"], row["number"], row["value"]) for row in told["thresholds"]] == [
        ("gold", "net_365d_fen", 0.5, 250),
        ("asleep", "silent_days", 90, 90),
    ]
    assert [(row["customer_id"], row["from_tier"], row["to_tier"]) for row in told["sample"]] == [
        (3, "rest", "gold"),
        (6, "vip", "asleep"),
        (7, None, "asleep"),
        (8, None, "rest"),
        (9, None, "rest"),
        (10, None, "rest"),
    ]
    assert await rows(written, shop.id) == before
    assert await rows("select 1 from tier_definitions where shop_id = $1", shop.id) == []
    narrow = MINE | {"tiers": [MINE["tiers"][0] | {"expected_share": [0.01, 0.02]}, *MINE["tiers"][1:]]}
    (warning,) = (await api.post("/v1/scores/tiers/preview", {"definition": narrow})).json()["warnings"]
    assert (warning["tier"], warning["share"], warning["expected_share"]) == ("gold", 0.2, [0.01, 0.02])
    assert "tighten net_365d_fen top_share 0.5 among spenders, or change its expected_share" in warning["text"]


async def test_a_run_does_what_the_preview_told(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    moment = datetime.now(UTC)
    for number in range(12):
        who = {"identities": [{"kind": "card_no", "value": f"C-{number}"}]}
        created = moment - timedelta(days=20 * number)
        assert (await api.post("/v1/customers", who | {"created_at": created.isoformat()})).status_code == 201
        if number % 3 == 0:
            order = {"order_no": f"O-{number}", "paid_at": created.isoformat(), "amount_fen": 1000 * (number + 1)}
            assert (await api.post("/v1/orders", who | order)).is_success
    await work()
    told = (await api.post("/v1/scores/tiers/preview", {"definition": MINE})).json()
    assert (told["customers"], told["moving"]) == (12, 12)
    assert {row["tier"]: row["customers"] for row in told["tiers"]} == {"gold": 2, "asleep": 5, "rest": 5}
    published = (await put(api, {"definition": MINE})).json()
    await work()
    scored = await rows("select customer_id, tier from customer_scores where shop_id = $1 order by 1", shop.id)
    assert Counter(row["tier"] for row in scored) == {"gold": 2, "asleep": 5, "rest": 5}
    assert all(mover in [(row["customer_id"], row["tier"]) for row in scored] for mover in _ends(told["sample"]))
    now = (await api.get("/v1/scores/tiers")).json()
    assert (now["last_run"]["run_id"], now["last_run"]["version"]) == (published["run_id"], 1)
    assert now["last_run"]["tiers"] == told["tiers"]
    again = (await api.post("/v1/scores/tiers/preview", {"definition": MINE})).json()
    assert (again["moving"], again["sample"]) == (0, [])
    assert again["tiers"] == told["tiers"]


def _ends(movers: list[Json]) -> list[tuple[int, str]]:
    return [(mover["customer_id"], mover["to_tier"]) for mover in movers]


async def test_a_preview_shows_twenty_of_many_who_move(api: Api, shop: Shop, rows: Rows) -> None:
    day = shop.live_as_of()
    await told(rows, shop, [stats(day, net_365d_fen=n, tier="vip" if n % 2 else "rest") for n in range(100)])
    preview = (await api.post("/v1/scores/tiers/preview", {"definition": MINE})).json()
    assert preview["moving"] == 75
    assert len(preview["sample"]) == 20
    assert all(mover["from_tier"] != mover["to_tier"] for mover in preview["sample"])


async def test_a_preview_of_nobody(api: Api) -> None:
    for body in ({"definition": MINE}, *({"scheme": scheme} for scheme in SCHEMES)):
        answer = await api.post("/v1/scores/tiers/preview", body)
        assert answer.status_code == 200, answer.text
        preview = answer.json()
        assert (preview["customers"], preview["moving"]) == (0, 0)
        assert (preview["moves"], preview["sample"], preview["warnings"]) == ([], [], [])
        assert {row["share"] for row in preview["tiers"]} == {None}


async def test_a_preview_where_nobody_spends(api: Api, shop: Shop, rows: Rows) -> None:
    await told(rows, shop, [stats(shop.live_as_of(), orders=1) for _ in range(3)])
    preview = (await api.post("/v1/scores/tiers/preview", {"definition": MINE})).json()
    assert preview["thresholds"][0]["value"] is None
    assert {row["tier"]: row["customers"] for row in preview["tiers"]} == {"gold": 0, "asleep": 0, "rest": 3}
    assert [warning["tier"] for warning in preview["warnings"]] == ["gold"]


async def test_the_last_run_tells_its_shares_by_its_own_definition(api: Api, shop: Shop, rows: Rows) -> None:
    await put(api, {"scheme": "growth"})
    run = new_id()
    await rows(
        """
        insert into score_runs (shop_id, id, kind, state, as_of, settings, tiers, tiers_version, shares, created_at)
        values ($1, $2, 'live', 'published', $3, '{}', $4, 0, $5, now()) returning 1
        """,
        shop.id,
        run,
        shop.live_as_of(),
        orjson.dumps(VALUE.stored()).decode(),
        '{"vip": 6, "high_potential": 15, "at_risk": 10, "regular": 169}',
    )
    told = (await api.get("/v1/scores/tiers")).json()
    assert told["version"] == 1
    last = told["last_run"]
    assert (last["run_id"], last["version"], last["as_of"]) == (str(run), 0, shop.live_as_of().isoformat())
    assert [(row["tier"], row["customers"], row["share"]) for row in last["tiers"]] == [
        ("vip", 6, 0.03),
        ("high_potential", 15, 0.075),
        ("at_risk", 10, 0.05),
        ("regular", 169, 0.845),
    ]
    assert [warning["tier"] for warning in last["warnings"]] == ["vip", "high_potential", "at_risk", "regular"]


@pytest.mark.parametrize(
    ("body", "status", "field", "why"),
    [
        ("{}", 422, "body", "send a definition, or the name of a built-in scheme"),
        ('{"scheme": "value", "definition": %s}', 422, "body", "send a definition, or the name"),
        ('{"scheme": "golden"}', 422, "scheme", "'value', 'growth' or 'absolute'"),
        ('{"definition": {"name": "x", "tiers": []}}', 422, "definition.tiers", "at least 2"),
        ('{"definition": [%s]}', 422, "definition", ""),
        ('{"definition": %s, "notes": 1}', 422, "notes", "not permitted"),
        ("{0: NaN}", 400, None, "not valid JSON"),
    ],
)
async def test_what_is_no_definition_is_refused(
    api: Api, shop: Shop, rows: Rows, body: str, status: int, field: str | None, why: str
) -> None:
    content = body.replace("%s", orjson.dumps(MINE).decode())
    for call in (("POST", "/v1/scores/tiers/preview"), ("PUT", "/v1/scores/tiers")):
        answer = await api.http.request(*call, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
        assert answer.json().get("field") == field
        assert why in answer.json()["detail"]
    assert await rows("select 1 from tier_definitions where shop_id = $1", shop.id) == []


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("NaN", 400),
        ("Infinity", 400),
        ("1e400", 400),
        ("1" + "0" * 30, 422),
        ("-1e16", 422),
        ('"1"', 422),
        ("1e15", 200),
    ],
)
async def test_numbers_beyond_reason_are_refused(api: Api, number: str, status: int) -> None:
    content = orjson.dumps({"definition": MINE}).decode().replace('"more_than":90', f'"more_than":{number}')
    content = content.replace("silent_days", "net_fen")
    answer = await api.http.post(
        "/v1/scores/tiers/preview", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["field"] == "definition.tiers.1.when.0.more_than"


async def test_an_unknown_field_is_told_with_its_place_and_the_nearest_one(api: Api) -> None:
    wrong = orjson.loads(orjson.dumps(MINE).replace(b"silent_days", b"silent_day"))
    answer = await put(api, {"definition": wrong})
    assert (answer.status_code, answer.json()["field"]) == (422, "definition.tiers.1.when.0.field")
    assert "did you mean silent_days? GET /v1/scores/tiers lists them all" in answer.json()["detail"]
