"""The door: live credentials only, the shop's own rows only, the scopes that were given only."""

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.access import credentials
from app.access.door import DoorRoute
from app.access.entry import Entry
from app.access.scopes import SCOPES
from app.access.shops import Shop
from tests.conftest import Api, MakeApi, Rows

UNKNOWN = "01a1ffe8-f407-735a-93a5-b21a89822aed"


async def test_nothing_unknown_and_mistyped_keys_are_told_apart(api: Api) -> None:
    for header, code in (
        (None, "credential_missing"),
        ("Bearer nonsense", "credential_unknown"),
        (f"Bearer {api.client.api_key[:-1]}{'x' if api.client.api_key[-1] != 'x' else 'y'}", "credential_unknown"),
    ):
        headers = {"Authorization": header} if header else {"Authorization": ""}
        answer = await api.get("/v1/shop", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_revoked_client_is_out_at_once(api: Api, entry: Entry, shop: Shop) -> None:
    assert (await api.get("/v1/shop")).status_code == 200
    async with entry.shop(shop.id) as (db, of):
        await credentials.revoke_client(db, of, api.client.client_id)
    answer = await api.get("/v1/shop")
    assert (answer.status_code, answer.json()["code"]) == (401, "credential_revoked")


async def test_rotation_ends_the_old_key_and_starts_the_new(api: Api, entry: Entry, shop: Shop) -> None:
    assert (await api.get("/v1/shop")).status_code == 200
    async with entry.shop(shop.id) as (db, of):
        new = await credentials.rotate_client(db, of, entry.root, api.client.client_id)
    assert (await api.get("/v1/shop")).status_code == 401
    renewed = await api.get("/v1/shop", headers={"Authorization": f"Bearer {new.api_key}"})
    assert renewed.status_code == 200


async def test_secrets_are_not_stored_as_they_are(api: Api, rows: Rows, shop: Shop) -> None:
    stored = await rows("select * from credentials where shop_id = $1", shop.id)
    stored += await rows("select * from api_clients where shop_id = $1", shop.id)
    text = repr(stored)
    assert api.client.client_secret not in text
    assert api.client.api_key not in text


def _v1(app: FastAPI) -> list[tuple[str, str]]:
    return sorted(
        (method, path)
        for path, operations in app.openapi()["paths"].items()
        for method in operations
        if path.startswith("/v1")
    )


async def test_every_route_of_v1_refuses_a_caller_without_scopes(app: FastAPI, make_api: MakeApi, shop: Shop) -> None:
    assert len(_v1(app)) > 15
    nobody = await make_api(shop, "pii:read")
    for method, path in _v1(app):
        answer = await nobody.http.request(method, _filled(path, "1"), json={})
        if path == "/v1/shop":
            assert answer.status_code == 200
        else:
            # A body that does not parse is refused before or after the scope: both leave nothing behind.
            assert answer.status_code in (403, 422), (method, path, answer.text)
        stranger = await nobody.http.request(method, _filled(path, "1"), json={}, headers={"Authorization": ""})
        assert stranger.status_code in (401, 422), (method, path)


@pytest.mark.parametrize("scope", sorted(SCOPES))
async def test_a_scope_opens_only_its_own_routes(app: FastAPI, make_api: MakeApi, shop: Shop, scope: str) -> None:
    caller = await make_api(shop, scope)
    for path, needed in (
        ("/v1/customers", "customers:read"),
        ("/v1/stores", "customers:read"),
        ("/v1/scores/runs", "scores:read"),
    ):
        answer = await caller.get(path)
        assert answer.status_code == (200 if scope == needed else 403), (path, answer.text)


async def test_another_shops_things_are_not_there(app: FastAPI, api: Api, make_api: MakeApi, other_shop: Shop) -> None:
    """Every route with an id answers 404 for another shop's, as for one that exists nowhere."""
    customer = (await api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": "13800000003"}]})).json()
    job = (await api.post("/v1/triggers/rescore", {})).json()
    things = {"customer_id": customer["id"], "job_id": job["job_id"]}
    stranger = await make_api(other_shop)
    tried = 0
    for method, path in _v1(app):
        names = re.findall(r"{(\w+)}", path)
        if not names or method == "put" or names[0] not in things:
            continue
        tried += 1
        theirs = await stranger.http.request(method, _filled(path, str(things[names[0]])), json=_body(method, path))
        nobodys = await stranger.http.request(method, _filled(path, _other(names[0])), json=_body(method, path))
        assert theirs.status_code == nobodys.status_code == 404, (method, path, theirs.text)
        assert _without_ids(theirs) == _without_ids(nobodys)
    assert tried >= 4


def _body(method: str, path: str) -> Any:
    identity = {"kind": "card_no", "value": "C-1"}
    if path.endswith("/identities"):
        return {"identity": identity} if method == "delete" else {"identities": [identity]}
    return {"other_id": 1} if path.endswith("/merges") else {}


def _other(name: str) -> str:
    return "9007199254740991" if name == "customer_id" else UNKNOWN


def _filled(path: str, value: str) -> str:
    return re.sub(r"{\w+}", value, path)


def _without_ids(answer: httpx.Response) -> dict[str, Any]:
    return dict(answer.json())


def test_every_route_declares_what_it_needs(app: FastAPI) -> None:
    """A /v1 route without a door would answer strangers."""
    for route in app.routes:
        if isinstance(route, APIRoute) and route.path.startswith("/v1"):
            assert isinstance(route, DoorRoute), route.path
