"""shop and client: who may come in."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from app.access import credentials, repository
from app.access.credentials import NewClient
from app.access.entry import Entry
from app.access.scopes import SCOPES, parse_scopes
from app.access.shops import Shops, create_shop
from app.cli.console import fail, print_json, print_rows, say
from app.cli.environment import load_settings
from app.core import clock
from app.core.crypto import RootKey
from app.core.outbound import Outbound, OutboundError
from app.main import open_database
from app.youzan import market

shop = typer.Typer(help="Create and list shops.", no_args_is_help=True)
client = typer.Typer(help="Create, list, rotate and revoke API clients.", no_args_is_help=True)

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
ShopId = Annotated[int | None, typer.Option("--shop", help="Shop number; may be left out when there is only one")]


def with_entry(step: Callable[[Entry], Awaitable[T]]) -> T:
    """Run one step with a database of its own."""

    async def run() -> T:
        settings = load_settings()
        root = RootKey(settings.root_key_bytes)
        database = open_database(settings, None)
        try:
            return await step(Entry(database, root, Shops(database, root)))
        finally:
            await database.close()

    return asyncio.run(run())


async def the_shop(entry: Entry, shop_id: int | None) -> int:
    """The shop that is meant. Exits when that is not clear."""
    if shop_id is not None:
        return shop_id
    ids = await entry.shops.ids()
    if len(ids) != 1:
        fail("there is no shop yet; make one with: kehu shop create" if not ids else "say which: --shop NUMBER", 2)
    return ids[0]


@shop.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What people call it")],
    shop_id: Annotated[int | None, typer.Option("--id", min=1, max=2**53 - 1, help="Its Youzan kdt_id")] = None,
    timezone: Annotated[str, typer.Option(help="Whose midnight counts")] = "Asia/Shanghai",
    as_json: Json = False,
) -> None:
    """Open a shop with keys of its own."""

    async def step(entry: Entry) -> int:
        return await create_shop(entry.database, entry.root, name=name, timezone=timezone, shop_id=shop_id)

    number = with_entry(step)
    if as_json:
        print_json({"shop_id": number})
    else:
        say(f"shop {number} is open; let a client in with: kehu client create NAME --shop {number}")


@shop.command("list")
def list_shops(as_json: Json = False) -> None:
    """All shops of this installation."""

    async def step(entry: Entry) -> list[dict[str, Any]]:
        async with entry.database.transaction() as db:
            return [dict(row) for row in await db.fetch(repository.LIST_SHOPS)]

    print_rows(with_entry(step), ["id", "name", "timezone", "created_at"], as_json=as_json)


@client.command("create")
def create_client(
    name: Annotated[str, typer.Argument(help="Which system it is")],
    shop_id: ShopId = None,
    scopes: Annotated[
        str, typer.Option(help=f"'all', or some of: {' '.join(SCOPES)}")
    ] = "customers:read customers:write orders:write scores:read",
    days: Annotated[int | None, typer.Option(min=1, help="Expires after so many days")] = None,
    as_json: Json = False,
) -> None:
    """Let a system in: a client id and secret for Youzan-style calls, an API key for /v1. Shown once."""
    try:
        allowed = parse_scopes(scopes)
    except ValueError as error:
        fail(str(error), 2)

    async def step(entry: Entry) -> NewClient:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            return await credentials.create_client(db, shop, entry.root, name=name, scopes=allowed, days=days)

    _show(with_entry(step), as_json=as_json)


@client.command("list")
def list_clients(shop_id: ShopId = None, as_json: Json = False) -> None:
    """The shop's clients; secrets are never shown again."""

    async def step(entry: Entry) -> list[dict[str, Any]]:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            return [dict(row) for row in await db.fetch(repository.LIST_CLIENTS, shop_id=shop.id)]

    columns = ["client_id", "name", "scopes", "created_at", "expires_at", "revoked_at"]
    print_rows(with_entry(step), columns, as_json=as_json)


@client.command("rotate")
def rotate_client(client_id: str, shop_id: ShopId = None, as_json: Json = False) -> None:
    """A new secret and API key; the old ones, and the client's tokens, die at once."""

    async def step(entry: Entry) -> NewClient:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            return await credentials.rotate_client(db, shop, entry.root, client_id)

    _show(with_entry(step), as_json=as_json)


@client.command("revoke")
def revoke_client(client_id: str, shop_id: ShopId = None) -> None:
    """Shut the door to a client at once."""

    async def step(entry: Entry) -> None:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            await credentials.revoke_client(db, shop, client_id)

    with_entry(step)
    say(f"client {client_id} is revoked")


@client.command("authorise")
def authorise_client(
    client_id: str,
    callback: Annotated[str | None, typer.Option(help="The app's callback URL: the code is sent there")] = None,
    subscribe: Annotated[bool, typer.Option(help="Before it, tell the callback that the shop subscribes")] = False,
    shop_id: ShopId = None,
) -> None:
    """A code that a tool app exchanges for its token (authorization_code): good once, for two minutes."""
    if subscribe and not callback:
        fail("--subscribe needs --callback URL: that is where the app hears of it")
    if callback and "#" in callback:
        fail("--callback: what stands behind a # is not sent; leave it out")

    async def step(entry: Entry) -> str:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            secret = await credentials.secret_of(db, shop, client_id)
            code = await credentials.authorise(db, shop, entry.root, client_id)
        if callback:
            urls = [market.with_subscription(callback, secret, shop.id, clock.now())] if subscribe else []
            await _call_back([*urls, market.with_code(callback, code)])
        return code

    typer.echo(with_entry(step))


async def _call_back(urls: Sequence[str]) -> None:
    async with Outbound(allow_networks=load_settings().outbound_allow_networks) as outbound:
        for url in urls:
            try:
                reply = await outbound.request("GET", url)
            except OutboundError as error:
                fail(f"the callback was not reached: {error.reason}")
            if reply.status >= 400:
                fail(f"the callback answered {reply.status}")
            say(f"the callback answered {reply.status}")


def _show(new: NewClient, *, as_json: bool) -> None:
    values = {"client_id": new.client_id, "client_secret": new.client_secret, "api_key": new.api_key}
    if as_json:
        print_json(values)
        return
    say("Keep these; they are not shown again.")
    for label, value in values.items():
        typer.echo(f"{label}  {value}")
