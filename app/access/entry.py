"""The one way in: a live credential opens a transaction inside its shop's wall, and nothing else does."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from app.access import repository
from app.access.audit import Visit
from app.access.errors import (
    AppUnknown,
    CredentialExpired,
    CredentialMissing,
    CredentialRevoked,
    CredentialUnknown,
    ScopeMissing,
    SignatureWrong,
)
from app.access.limits import Limits, RateLimited
from app.access.shops import Shop, Shops
from app.core import clock
from app.core.crypto import RootKey
from app.core.db import Connection, Database
from app.core.errors import DatabaseUnavailable, Refusal
from app.core.ids import CustomerIds
from app.core.keys import is_well_formed
from app.core.races import until_won

T = TypeVar("T")

_REMEMBERED: Final = 10_000
_NOT_LIVE: Final = "KH401"  # raised by the database function kehu_admit
CLIENT_SECRET: Final = "api_clients.secret"  # noqa: S105 the column that it is sealed for
_UNPROVEN: Final = "unproven"  # the class of calls whose proof was wrong
_NO_WAIT: Final = "SET LOCAL synchronous_commit = off; "


class Credential(NamedTuple):
    """What a caller shows: a token or API key; or, with a proof, the client id of whoever can make that proof true."""

    text: str
    proof: Callable[[str], bool] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """As what it may be registered."""
        return ("client",) if self.proof is not None else ("token", "api_key")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a credential belongs to. Remembered between requests; each transaction asks again whether it still holds."""

    shop_id: int
    client: UUID
    client_id: str
    scopes: frozenset[str]
    expires_at: datetime | None
    admission: str

    @property
    def unmasked(self) -> bool:
        """May personal fields be shown as they are?"""
        return "pii:read" in self.scopes


@dataclass(frozen=True, slots=True)
class Call:
    """One request of one caller, inside its transaction. Handlers tell `visit` whom it concerns."""

    db: Connection
    shop: Shop
    caller: Caller
    visit: Visit
    ids: CustomerIds


class Entry:
    """Credentials in, calls out."""

    def __init__(self, database: Database, root: RootKey, shops: Shops, limits: Limits | None = None) -> None:
        self.database = database
        self.root = root
        self.shops = shops
        self.ids = CustomerIds()
        self._limits = limits
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()

    @asynccontextmanager
    async def call(
        self, shown: Credential | str | None, visit: Visit, *needed: str, route_class: str = "read"
    ) -> AsyncIterator[Call]:
        """A transaction for whoever shows a live credential, if it holds the scopes and is within its limits.

        Its row in the access log commits with it, refusals get one of their own: no row, no answer.

        Raises: CredentialMissing, CredentialUnknown, CredentialExpired, CredentialRevoked, AppUnknown, SignatureWrong,
            ScopeMissing, RateLimited, RowBudgetSpent.
        """
        if not shown:
            raise CredentialMissing
        credential = Credential(shown) if isinstance(shown, str) else shown
        visit.purpose = " ".join(needed)
        caller: Caller | None = None
        try:
            async with AsyncExitStack() as stack:
                caller, shop, db = await self._admit(stack, credential, visit, route_class)
                if credential.proof is not None:
                    await self._prove(credential.proof, db, shop, caller, route_class)
                require(caller, *needed)
                yield Call(db, shop, caller, visit, self.ids)
                if self._limits is not None and visit.reads and visit.objects:
                    await self._limits.spend_rows(caller.client, visit.objects, shop.settings.limits, shop.zone)
                if needed:
                    db.parting = visit.sql(shop.id)
        except (CredentialExpired, CredentialRevoked) as refusal:
            await self._record_refusal(visit, getattr(refusal, "shop_id", None), refusal)
            raise
        except Refusal as refusal:
            if caller is not None and not isinstance(refusal, DatabaseUnavailable | RateLimited):
                await self._record_refusal(visit, caller.shop_id, refusal)
            raise

    @asynccontextmanager
    async def again(self, caller: Caller) -> AsyncIterator[tuple[Connection, Shop]]:
        """A further transaction of a caller who was let in, for a request that is too long for one.

        Raises: CredentialRevoked when the credential is not live any more.
        """
        shop = await self.shops.get(caller.shop_id)
        try:
            async with self.database.transaction(shop.id, admit=caller.admission) as db:
                yield db, shop
        except asyncpg.PostgresError as error:
            if error.sqlstate != _NOT_LIVE:
                raise
            raise CredentialRevoked from None

    async def _prove(
        self, proof: Callable[[str], bool], db: Connection, shop: Shop, caller: Caller, route_class: str
    ) -> None:
        """A client id is no secret, so who only names it has a limit of their own and spends nothing of the client's.

        Raises: SignatureWrong, RateLimited.
        """
        proven = proof(await _secret(db, shop, caller))
        if self._limits is not None:
            await self._limits.take(caller.client, route_class if proven else _UNPROVEN, shop.settings.limits)
        if not proven:
            raise SignatureWrong

    async def _record_refusal(self, visit: Visit, shop_id: int | None, refusal: Refusal) -> None:
        if shop_id is None:
            return
        async with self.database.transaction(shop_id, admit=_NO_WAIT) as db:
            db.parting = visit.sql(shop_id, str(refusal.code))

    @asynccontextmanager
    async def shop(self, shop_id: int) -> AsyncIterator[tuple[Connection, Shop]]:
        """A transaction for the house itself: workers and operators at the command line."""
        shop = await self.shops.get(shop_id)
        async with self.database.transaction(shop_id) as db:
            yield db, shop

    async def _admit(
        self, stack: AsyncExitStack, credential: Credential, visit: Visit, route_class: str
    ) -> tuple[Caller, Shop, Connection]:
        lookup_hash = self.root.lookup_hash(*_kind_and_text(credential))
        known = self._callers.get(lookup_hash)
        if known is not None:
            try:
                return await self._open(stack, known, credential, visit, route_class)
            except CredentialRevoked:
                self._callers.pop(lookup_hash, None)  # something changed: look again, and say what
        caller = await self._look_up(lookup_hash, credential)
        opened = await self._open(stack, caller, credential, visit, route_class)
        self._callers[lookup_hash] = caller
        if len(self._callers) > _REMEMBERED:
            self._callers.popitem(last=False)
        return opened

    async def _open(
        self, stack: AsyncExitStack, caller: Caller, credential: Credential, visit: Visit, route_class: str
    ) -> tuple[Caller, Shop, Connection]:
        # The shop is read first: a second connection taken while the first is held can exhaust the pool.
        shop = await self.shops.get(caller.shop_id)
        visit.actor, visit.masked = caller.client_id, not caller.unmasked
        if self._limits is not None and credential.proof is None:
            try:
                await self._limits.take(caller.client, route_class, shop.settings.limits)
            except RateLimited as refusal:
                refusal.shop = shop
                raise
        # A reading call writes only its row in the access log, and that need not reach the disk before the answer.
        admit = f"{_NO_WAIT if visit.reads else ''}{caller.admission}"
        try:
            db = await stack.enter_async_context(self.database.transaction(shop.id, admit=admit))
        except asyncpg.PostgresError as error:
            if error.sqlstate != _NOT_LIVE:
                raise
            raise CredentialRevoked from None
        return caller, shop, db

    async def _look_up(self, lookup_hash: bytes, credential: Credential) -> Caller:
        moment = clock.now()
        async with self.database.transaction(admit=f"SET LOCAL kehu.credential = '{lookup_hash.hex()}'") as db:
            found = await repository.find_credential(db, lookup_hash)
        if found is None or found["kind"] not in credential.kinds:
            raise AppUnknown if credential.proof is not None else CredentialUnknown
        async with self.database.transaction(found["shop_id"]) as db:
            client = await db.fetch_one(repository.CLIENT, shop_id=found["shop_id"], id=found["client"])
        if client is None or found["revoked_at"] or client["revoked_at"]:
            raise CredentialRevoked(shop_id=found["shop_id"])
        for expires_at in (found["expires_at"], client["expires_at"]):
            if expires_at is not None and expires_at <= moment:
                raise CredentialExpired(shop_id=found["shop_id"])
        return Caller(
            shop_id=found["shop_id"],
            client=found["client"],
            client_id=client["client_id"],
            scopes=frozenset(client["scopes"].split()),
            expires_at=found["expires_at"],
            admission=f"SELECT kehu_admit('\\x{lookup_hash.hex()}'::bytea, {int(client['epoch'])})",
        )


def require(caller: Caller, *needed: str) -> None:
    """Raises ScopeMissing naming the first scope that the caller lacks."""
    for scope in needed:
        if scope not in caller.scopes:
            raise ScopeMissing(f"This call needs the scope {scope}; ask the operator to grant it", needed_scope=scope)


def _kind_and_text(credential: Credential) -> tuple[str, str]:
    text = credential.text
    if credential.proof is not None:
        return "client", text
    if text.startswith("kehu_"):
        if not is_well_formed(text):
            raise CredentialUnknown("The API key is mistyped: its check characters do not fit")
        return "api_key", text
    return "token", text


async def _secret(db: Connection, shop: Shop, caller: Caller) -> str:
    client = await db.fetch_one(repository.CLIENT, shop_id=shop.id, id=caller.client)
    if client is None:
        raise AppUnknown
    return shop.keys.open(CLIENT_SECRET, client["secret"])


async def in_shop(entry: Entry, shop_id: int, step: Callable[[Connection, Shop], Awaitable[T]]) -> T:
    """Run one idempotent job step in a transaction, and again when it lost a race."""

    async def attempt() -> T:
        async with entry.shop(shop_id) as (db, shop):
            return await step(db, shop)

    return await until_won(attempt)
