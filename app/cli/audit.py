"""audit: is the access log what was written?"""

from typing import Annotated

import typer

from app.access import audit as access_log
from app.access.audit import Verdict
from app.access.entry import Entry
from app.cli.console import err, fail, print_json, say
from app.cli.shops import Json, ShopId, the_shop, with_entry

audit = typer.Typer(help="Check the access log.", no_args_is_help=True)


@audit.command("verify")
def verify(
    shop_id: ShopId = None,
    head: Annotated[
        str | None,
        typer.Option(help="A head that was kept elsewhere, as SEQ:HASH, from `audit head` or the worker's log"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk the log's chain; exit 1 and name the entry when one was edited, removed, swapped or added."""
    published = None
    if head is not None:
        seq, _, digest = head.partition(":")
        if not seq.isdigit() or len(digest) != 64:
            fail("--head is SEQ:HASH, as `kehu audit head` prints it", 2)
        published = int(seq), digest

    async def step(entry: Entry) -> Verdict:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            return await access_log.verify(db, shop.id, published=published)

    verdict = with_entry(step)
    if as_json:
        print_json({name: getattr(verdict, name) for name in Verdict.__dataclass_fields__})
    elif verdict.what is None:
        say(f"{verdict.entries} entries are sound; head {verdict.entries}:{verdict.head}")
    else:
        place = f"link {verdict.broken_seq}" if verdict.broken_seq is not None else "an entry"
        err.print(f"broken at {place} ({verdict.broken_entry}): {verdict.what}", style="red", highlight=False)
    if verdict.what is not None:
        raise typer.Exit(1)


@audit.command("head")
def head(shop_id: ShopId = None) -> None:
    """Print the chain's end as SEQ:HASH, to be kept outside the database."""

    async def step(entry: Entry) -> str:
        async with entry.shop(await the_shop(entry, shop_id)) as (db, shop):
            found = await access_log.head(db, shop.id)
        return f"{found['seq']}:{found['head']}"

    typer.echo(with_entry(step))
