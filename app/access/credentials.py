"""Clients, tokens and API keys: issued, refreshed, rotated, revoked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.access import repository
from app.access.entry import CLIENT_SECRET, Entry
from app.access.errors import TokenRefused
from app.access.shops import Shop
from app.core import clock
from app.core.crypto import RootKey
from app.core.db import Connection
from app.core.errors import NotFound
from app.core.ids import new_id
from app.core.keys import display_hint, new_api_key, new_token

TOKEN_LIFE: Final = timedelta(days=7)
REFRESH_LIFE: Final = timedelta(days=28)
CODE_LIFE: Final = timedelta(minutes=2)
_TOKEN_SECRET: Final = "credentials.secret"  # noqa: S105 the name of a column


@dataclass(frozen=True, slots=True)
class NewClient:
    """What is shown once."""

    client_id: str
    client_secret: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Token:
    """An answer of the token endpoint."""

    access_token: str
    expires_at: datetime
    scopes: str
    refresh_token: str
    shop_id: int


async def create_client(
    db: Connection, shop: Shop, root: RootKey, *, name: str, scopes: frozenset[str], days: int | None = None
) -> NewClient:
    """Register an API client with its secret and a first API key; all three are shown only here."""
    moment = clock.now()
    client, client_id, secret = new_id(), new_token()[:18], new_token()
    expires_at = moment + timedelta(days=days) if days else None
    await db.execute(
        repository.ADD_CLIENT,
        shop_id=shop.id,
        id=client,
        client_id=client_id,
        name=name,
        secret=shop.keys.seal(CLIENT_SECRET, secret),
        scopes=" ".join(sorted(scopes)),
        created_at=moment,
        expires_at=expires_at,
    )
    await repository.add_credential(
        db,
        shop.id,
        kind="client",
        client=client,
        lookup_hash=root.lookup_hash("client", client_id),
        hint=client_id[:4],
        created_at=moment,
        expires_at=expires_at,
    )
    return NewClient(client_id, secret, await _add_api_key(db, shop, root, client, moment, expires_at))


async def rotate_client(db: Connection, shop: Shop, root: RootKey, client_id: str) -> NewClient:
    """A new secret and a new API key; the old secret dies at once, old keys and tokens with it.

    Raises: NotFound.
    """
    client = await _client(db, shop, client_id)
    secret, moment = new_token(), clock.now()
    await db.execute(
        repository.CHANGE_SECRET, shop=shop.id, client=client["id"], secret=shop.keys.seal(CLIENT_SECRET, secret)
    )
    for kind in ("token", "refresh_token", "api_key"):
        await db.execute(
            repository.REVOKE_CREDENTIALS, shop=shop.id, of_client=client["id"], of_kind=kind, moment=moment
        )
    key = await _add_api_key(db, shop, root, client["id"], moment, client["expires_at"])
    return NewClient(client_id, secret, key)


async def revoke_client(db: Connection, shop: Shop, client_id: str) -> None:
    """Close the door to a client at once, with all its tokens and keys. Raises NotFound."""
    client = await _client(db, shop, client_id)
    moment = clock.now()
    await db.execute(repository.REVOKE_CLIENT, shop=shop.id, client=client["id"], moment=moment)
    await db.execute(repository.REVOKE_CREDENTIALS, shop=shop.id, of_client=client["id"], of_kind="all", moment=moment)


async def secret_of(db: Connection, shop: Shop, client_id: str) -> str:
    """A client's secret, for a protocol that encrypts with it. Raises NotFound."""
    client = await _client(db, shop, client_id)
    secret: str = shop.keys.open(CLIENT_SECRET, client["secret"])
    return secret


async def authorise(db: Connection, shop: Shop, root: RootKey, client_id: str) -> str:
    """An authorisation code for a client of the shop: it is exchanged for a token once, within two minutes.

    Raises: NotFound.
    """
    client, code, moment = await _client(db, shop, client_id), new_token(), clock.now()
    await repository.add_credential(
        db,
        shop.id,
        kind="code",
        client=client["id"],
        lookup_hash=root.lookup_hash("code", code),
        hint=code[:4],
        created_at=moment,
        expires_at=moment + CODE_LIFE,
    )
    return code


async def exchange(entry: Entry, request: dict[str, Any]) -> Token:
    """Answer a token request in Youzan's terms (`authorize_type` and what belongs to it, contract 3.1).

    Raises: TokenRefused.
    """
    kind = request.get("authorize_type")
    if kind not in ("silent", "certificate", "authorization_code", "refresh_token"):
        raise TokenRefused(1105, "不支持的应用类型")
    shop_id = await _shop_of_client(entry, str(request.get("client_id") or ""))
    if kind in ("silent", "certificate") and str(request.get("grant_id")) != str(shop_id):
        raise TokenRefused(1103, "授权关系不存在")
    shop = await entry.shops.get(shop_id)
    spent = "code" if kind == "authorization_code" else "refresh_token"
    spent_hash = entry.root.lookup_hash(spent, str(request.get(spent) or ""))
    async with entry.database.transaction(shop_id, admit=f"SET LOCAL kehu.credential = '{spent_hash.hex()}'") as db:
        client = await _client_with_secret(db, shop, request)
        fresh = kind != "certificate"
        if kind == "authorization_code":
            await _use_code(db, client["id"], spent_hash)
        elif kind == "refresh_token":
            await _use_refresh_token(db, client["id"], spent_hash)
        elif kind == "silent":
            fresh = str(request.get("refresh", "false")).lower() == "true"
        return await _token(db, shop, entry.root, client, fresh=fresh)


async def _token(db: Connection, shop: Shop, root: RootKey, client: Any, *, fresh: bool) -> Token:
    moment = clock.now()
    if not fresh:
        current = await db.fetch_one(repository.CURRENT_TOKEN, shop_id=shop.id, client=client["id"], moment=moment)
        if current is not None:
            token, _, refresh_token = shop.keys.open(_TOKEN_SECRET, current["secret"]).partition(" ")
            return Token(token, current["expires_at"], client["scopes"], refresh_token, shop.id)
    # Whoever still holds the old token has a while to change over.
    until = moment + timedelta(minutes=shop.settings.facade.replaced_token_minutes)
    await db.execute(repository.SHORTEN, shop=shop.id, of_client=client["id"], of_kind="token", until=until)
    token, refresh_token = new_token(), new_token()
    expires_at = moment + TOKEN_LIFE
    if client["expires_at"] is not None:
        expires_at = min(expires_at, client["expires_at"])
    sealed = shop.keys.seal(_TOKEN_SECRET, f"{token} {refresh_token}")
    for kind, secret, until in (
        ("token", token, expires_at),
        ("refresh_token", refresh_token, moment + REFRESH_LIFE),
    ):
        await repository.add_credential(
            db,
            shop.id,
            kind=kind,
            client=client["id"],
            lookup_hash=root.lookup_hash(kind, secret),
            hint=secret[:4],
            created_at=moment,
            expires_at=until,
            sealed=sealed if kind == "token" else None,
        )
    return Token(token, expires_at, client["scopes"], refresh_token, shop.id)


async def _shop_of_client(entry: Entry, client_id: str) -> int:
    lookup_hash = entry.root.lookup_hash("client", client_id)
    async with entry.database.transaction(admit=f"SET LOCAL kehu.credential = '{lookup_hash.hex()}'") as db:
        found = await repository.find_credential(db, lookup_hash)
    if found is None:
        raise TokenRefused(1103, "Client 不存在")
    return int(found["shop_id"])


async def _client_with_secret(db: Connection, shop: Shop, request: dict[str, Any]) -> Any:
    client = await db.fetch_one(
        repository.CLIENT_BY_PUBLIC_ID, shop_id=shop.id, client_id=str(request.get("client_id"))
    )
    if client is None:
        raise TokenRefused(1103, "Client 不存在")
    # Keyed hashes are compared, so the time taken says nothing about the secret.
    held = shop.keys.blind("client_secret", shop.keys.open(CLIENT_SECRET, client["secret"]))
    if held != shop.keys.blind("client_secret", str(request.get("client_secret") or "")):
        raise TokenRefused(1000, "应用信息错误")
    if client["revoked_at"] or (client["expires_at"] and client["expires_at"] <= clock.now()):
        raise TokenRefused(1004, "授权关系已过期")
    return client


async def _use_code(db: Connection, client: UUID, lookup_hash: bytes) -> None:
    found = await repository.find_credential(db, lookup_hash)
    if found is not None and found["client"] != client:
        raise TokenRefused(1103, "授权应用不匹配")
    moment = clock.now()
    if found is None or found["revoked_at"] or found["expires_at"] <= moment:
        raise TokenRefused(1005, "非法授权码")
    # The client's row is locked, so nobody else is using it at this moment.
    await db.execute(repository.REVOKE_CREDENTIAL, lookup_hash=lookup_hash, moment=moment)


async def _use_refresh_token(db: Connection, client: UUID, lookup_hash: bytes) -> None:
    found = await repository.find_credential(db, lookup_hash)
    if found is None or found["kind"] != "refresh_token" or found["client"] != client:
        raise TokenRefused(1005, "非法授权码")
    if found["revoked_at"] or found["expires_at"] <= clock.now():
        raise TokenRefused(1004, "授权关系已过期")


async def _add_api_key(
    db: Connection, shop: Shop, root: RootKey, client: UUID, moment: datetime, expires_at: datetime | None
) -> str:
    key = new_api_key()
    await repository.add_credential(
        db,
        shop.id,
        kind="api_key",
        client=client,
        lookup_hash=root.lookup_hash("api_key", key),
        hint=display_hint(key),
        created_at=moment,
        expires_at=expires_at,
    )
    return key


async def _client(db: Connection, shop: Shop, client_id: str) -> Any:
    client = await db.fetch_one(repository.CLIENT_BY_PUBLIC_ID, shop_id=shop.id, client_id=client_id)
    if client is None:
        raise NotFound(f"There is no client {client_id} in shop {shop.id}; see: kehu client list", field="client_id")
    return client
