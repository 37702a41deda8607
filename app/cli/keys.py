"""keys: rotation."""

import typer

from app.access.entry import Entry
from app.cli.console import say
from app.cli.shops import ShopId, the_shop, with_entry
from app.privacy import rekey

keys = typer.Typer(help="Rotate a shop's keys.", no_args_is_help=True)


@keys.command("rotate")
def rotate(shop_id: ShopId = None) -> None:
    """Give the shop a new data key, online; a worker moves everything to it and destroys the old one."""

    async def step(entry: Entry) -> str:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            return str((await rekey.rotate(db, shop, entry.root))["id"])

    say(f"announced; the worker begins within a minute: GET /v1/jobs/{with_entry(step)}")
