"""The door's SQL: shops, key rings, clients, credentials."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam as p
from sqlalchemy import func, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.access.models import api_clients, credentials, shop_ids, shop_keys, shops, stores
from app.core.db import Connection, Row, statement

GET_SHOP = statement(select(shops).where(shops.c.id == p("id")))
LIST_SHOPS = statement(select(shops).order_by(shops.c.id))
SHOP_IDS = statement(select(shops.c.id).order_by(shops.c.id))
NEXT_SHOP_ID = statement(select(shop_ids.next_value()))
ADD_SHOP = statement(
    insert(shops)
    .values(
        id=p("id"), name=p("name"), timezone=p("timezone"), pinned_as_of=p("pinned_as_of"), created_at=p("created_at")
    )
    .on_conflict_do_nothing()
    .returning(shops.c.id)
)
PIN_SHOP = statement(update(shops).where(shops.c.id == p("shop")).values(pinned_as_of=p("pinned_as_of")))
SET_SETTINGS = statement(update(shops).where(shops.c.id == p("shop")).values(settings=p("settings")))

SHOP_KEYS = statement(
    select(shop_keys.c.version, shop_keys.c.wrapped, shop_keys.c.used_from).where(shop_keys.c.shop_id == p("shop_id"))
)
ADD_SHOP_KEY = statement(
    insert(shop_keys).values(
        shop_id=p("shop_id"),
        version=p("version"),
        wrapped=p("wrapped"),
        created_at=p("created_at"),
        used_from=p("used_from"),
    )
)

PUT_STORE = statement(
    text(
        """
        insert into stores as s (shop_id, id, name, city, created_at)
        values (:shop_id, :id, :name, :city, :created_at)
        on conflict (shop_id, id) do update set name = excluded.name, city = excluded.city
        returning s.id, s.name, s.city, s.created_at
        """
    )
)
LIST_STORES = statement(
    select(stores.c.id, stores.c.name, stores.c.city, stores.c.created_at)
    .where(stores.c.shop_id == p("shop_id"), stores.c.id > p("after"))
    .order_by(stores.c.id)
    .limit(p("limit"))
)

ADD_CLIENT = statement(
    insert(api_clients).values(
        shop_id=p("shop_id"),
        id=p("id"),
        client_id=p("client_id"),
        name=p("name"),
        secret=p("secret"),
        scopes=p("scopes"),
        created_at=p("created_at"),
        expires_at=p("expires_at"),
    )
)
LIST_CLIENTS = statement(
    select(
        api_clients.c.client_id,
        api_clients.c.name,
        api_clients.c.scopes,
        api_clients.c.created_at,
        api_clients.c.expires_at,
        api_clients.c.revoked_at,
    )
    .where(api_clients.c.shop_id == p("shop_id"))
    .order_by(api_clients.c.created_at)
)
CLIENT_BY_PUBLIC_ID = statement(
    select(api_clients)
    .where(api_clients.c.shop_id == p("shop_id"), api_clients.c.client_id == p("client_id"))
    .with_for_update()
)
CLIENT = statement(select(api_clients).where(api_clients.c.shop_id == p("shop_id"), api_clients.c.id == p("id")))
CHANGE_SECRET = statement(
    update(api_clients)
    .where(api_clients.c.shop_id == p("shop"), api_clients.c.id == p("client"))
    .values(secret=p("secret"), epoch=api_clients.c.epoch + 1)
)
REVOKE_CLIENT = statement(
    update(api_clients)
    .where(api_clients.c.shop_id == p("shop"), api_clients.c.id == p("client"))
    .values(revoked_at=func.coalesce(api_clients.c.revoked_at, p("moment")), epoch=api_clients.c.epoch + 1)
)

# The wall shows this row to whoever holds its hash, and to nobody else.
FIND_CREDENTIAL = statement(
    select(
        credentials.c.shop_id,
        credentials.c.kind,
        credentials.c.client,
        credentials.c.expires_at,
        credentials.c.revoked_at,
    ).where(credentials.c.lookup_hash == p("lookup_hash"))
)
ADD_CREDENTIAL = statement(
    insert(credentials).values(
        shop_id=p("shop_id"),
        lookup_hash=p("lookup_hash"),
        kind=p("kind"),
        client=p("client"),
        secret=p("secret"),
        hint=p("hint"),
        created_at=p("created_at"),
        expires_at=p("expires_at"),
    )
)
CURRENT_TOKEN = statement(
    select(credentials.c.secret, credentials.c.expires_at)
    .where(
        credentials.c.shop_id == p("shop_id"),
        credentials.c.client == p("client"),
        credentials.c.kind == "token",
        credentials.c.revoked_at == null(),
        credentials.c.expires_at > p("moment"),
    )
    .order_by(credentials.c.created_at.desc(), credentials.c.expires_at.desc())
    .limit(1)
)
SHORTEN = statement(
    update(credentials)
    .where(
        credentials.c.shop_id == p("shop"),
        credentials.c.client == p("of_client"),
        credentials.c.kind == p("of_kind"),
        credentials.c.expires_at > p("until"),
    )
    .values(expires_at=p("until"))
)
REVOKE_CREDENTIALS = statement(
    update(credentials)
    .where(
        credentials.c.shop_id == p("shop"),
        credentials.c.client == p("of_client"),
        or_(credentials.c.kind == p("of_kind"), p("of_kind") == "all"),
        credentials.c.revoked_at == null(),
    )
    .values(revoked_at=p("moment"))
)
REVOKE_CREDENTIAL = statement(
    update(credentials).where(credentials.c.lookup_hash == p("lookup_hash")).values(revoked_at=p("moment"))
)


async def shop_ids_with_none_set(db: Connection) -> list[int]:
    """Every shop's number; the table holds no tenant's rows and is read without a shop."""
    return [row["id"] for row in await db.fetch(SHOP_IDS)]


async def find_credential(db: Connection, lookup_hash: bytes) -> Row | None:
    """The credential whose hash this transaction was opened with."""
    return await db.fetch_one(FIND_CREDENTIAL, lookup_hash=lookup_hash)


async def add_credential(
    db: Connection,
    shop_id: int,
    *,
    kind: str,
    client: UUID,
    lookup_hash: bytes,
    hint: str,
    created_at: datetime,
    expires_at: datetime | None,
    sealed: bytes | None = None,
) -> None:
    """Make a credential live."""
    values: dict[str, Any] = {"kind": kind, "client": client, "lookup_hash": lookup_hash, "hint": hint}
    await db.execute(
        ADD_CREDENTIAL, shop_id=shop_id, secret=sealed, created_at=created_at, expires_at=expires_at, **values
    )
