"""Conformance: every row of the table over real HTTP, against `serve` as an operator starts it."""

from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from app.core.config import Settings
from tests.conftest import MakeApi
from tests.processes import running
from tests.youzan.conformance import clients, customers, messages, older, signatures, tags, tokens, transport, users
from tests.youzan.conformance.world import ANONYMOUS_FAN, CARD, KNOWN, NAME, OPENID, UNIONID, Case, World

PARTS = (transport, signatures, tokens, customers, older, users, tags, clients, messages)
TABLE: tuple[Case, ...] = tuple(row for part in PARTS for row in part.ROWS)


@pytest.fixture(scope="session")
async def served(settings: Settings) -> AsyncIterator[str]:
    """Processes of their own. Yields the base URL."""
    async with running(settings, "conformance") as base_url:
        yield base_url


@pytest.fixture
async def world(served: str, entry: Entry, make_api: MakeApi) -> World:
    """A shop with somebody known and a fan without a name."""
    shop: Shop = await entry.shops.get(await create_shop(entry.database, entry.root, name="Conformance"))
    api = await make_api(shop)
    asked = {
        "client_id": api.client.client_id,
        "client_secret": api.client.client_secret,
        "authorize_type": "silent",
        "grant_id": shop.id,
    }
    async with httpx.AsyncClient(base_url=served) as http:
        token = (await http.post("/auth/token", json=asked)).json()["data"]["access_token"]
        known = {"name": NAME, "gender": 2, "birthday": "1990-02-28", "contact_address": {"area_code": 310104}}
        made = await http.post(
            "/api/youzan.scrm.customer.create/3.0.0",
            params={"access_token": token},
            json={"mobile": KNOWN, "customer_create": known},
        )
        bearer = {"Authorization": f"Bearer {api.client.api_key}"}
        held = {"fans_id": ANONYMOUS_FAN, "wechat_openid": OPENID, "wechat_unionid": UNIONID, "card_no": CARD}
        fan = {"identities": [{"kind": kind, "value": value} for kind, value in held.items()]}
        assert (await http.post("/v1/customers", json=fan, headers=bearer)).status_code == 201
    created = made.json()["data"]
    return World(served, api, shop, token, created["yz_open_id"], created["account_id"])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
async def test_row(world: World, row: Case) -> None:
    async with httpx.AsyncClient(base_url=world.base_url, trust_env=False) as http:
        await row.ask(world, http)


def test_what_is_covered(capsys: pytest.CaptureFixture[str]) -> None:
    sections = Counter(row.section.partition(" ")[0] for row in TABLE)
    assert len({row.name for row in TABLE}) == len(TABLE), "two rows have one name"
    with capsys.disabled():
        print(f"\nconformance: {len(TABLE)} rows of the contract; {dict(sorted(sections.items()))}")  # noqa: T201
