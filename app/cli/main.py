"""The commands, each in a module with others of its kind."""

import asyncio
import sys

import typer

from app.cli import audit, data, demo, doctor, keys, run, scores, segments, shops, tags, tiers
from app.cli.console import fail
from app.core.errors import AppError

app = typer.Typer(
    name="kehu",
    help="Kehu: customers and orders in, scores and tiers computed, touches out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo.demo)
app.command()(run.serve)
app.command()(run.worker)
app.command()(run.migrate)
app.command()(run.openapi)
app.command()(doctor.doctor)
app.command()(data.rescore)
app.command()(data.export)
app.add_typer(shops.shop, name="shop")
app.add_typer(shops.client, name="client")
app.add_typer(audit.audit, name="audit")
app.add_typer(keys.keys, name="keys")
app.add_typer(data.imports, name="import")
app.add_typer(tiers.tiers, name="tiers")
app.add_typer(scores.scores, name="scores")
app.add_typer(segments.segments, name="segments")
app.add_typer(tags.tags, name="tags")


def main() -> None:
    """Run the command line; a refusal is one line, never a traceback."""
    try:
        app()
    except AppError as error:
        try:
            fail(error.detail or error.title)
        except typer.Exit as stop:
            sys.exit(stop.exit_code)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
