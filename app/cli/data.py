"""import, export, rescore: an operator's work with data, through the same public calls as everyone's."""

import asyncio
import os
import sys
import time
from datetime import datetime
from enum import StrEnum, auto
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from app.cli.console import fail, print_json, progress_bar, say
from app.cli.remote import POLL_SECONDS, ApiKey, Json, Url, answer, follow, open_client, place
from app.exports.schemas import Format, Kind
from app.imports import client
from app.imports.client import ImportResult
from app.imports.errors import ImportRefused
from app.imports.kinds import KINDS

imports = typer.Typer(
    help="Upload a file of customers, orders, events, identities, tags or lists, and follow it to its end.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(help="The file: CSV, or JSON objects in .ndjson; .gz too")]
Source = Annotated[str, typer.Option(help="Which system the external_id column comes from")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would become of the rows, write nothing")]


class Policy(StrEnum):
    """Of customers who are there: set what the row brings, fill what is empty, or leave them alone."""

    overwrite = auto()
    fill = auto()
    skip = auto()


@imports.command("customers", help=f"Create or update a customer per row.\n\n{KINDS['customers'].help}")
def import_customers(
    file: File,
    policy: Annotated[Policy, typer.Option(help="What becomes of customers who are there")] = Policy.overwrite,
    source: Source = "import",
    dry_run: DryRun = False,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """See the help text given above, which the columns' own module writes."""
    _import("customers", file, url, api_key, source, dry_run=dry_run, as_json=as_json, policy=policy.value)


def _command(kind: str, summary: str) -> None:
    def run(
        file: File,
        source: Source = "import",
        dry_run: DryRun = False,
        url: Url = None,
        api_key: ApiKey = None,
        as_json: Json = False,
    ) -> None:
        _import(kind, file, url, api_key, source, dry_run=dry_run, as_json=as_json)

    imports.command(kind, help=f"{summary}\n\n{KINDS[kind].help}")(run)


_command("orders", "Create or update an order per order number, and refunds.")
_command("events", "Keep an event per row.")
_command("identities", "Add identities to customers who are there.")
_command("tags", "Put tags on customers who are there.")
_command("segments", "Put customers who are there on the lists of static segments.")


def rescore(
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Count only facts before this day, in a run of its own"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until it is done")] = True,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Compute everyone's scores again, and publish them; with --as-of, in a run that leaves live scores alone."""
    with open_client(url, api_key) as http:
        accepted = answer(http.post("/v1/triggers/rescore", json={"as_of": as_of.date().isoformat()} if as_of else {}))
        job = follow(http, accepted["job_id"], "scoring", wait=wait)
    if as_json:
        print_json(accepted | {"state": job["state"], "result": job["result"]})
    else:
        say(f"run {accepted['run_id']}: {job['state']}")
    if job["state"] not in ("done", "queued", "running"):
        raise typer.Exit(1)


def export(
    kind: Annotated[Kind, typer.Argument(help="What to write")],
    file: Annotated[Path | None, typer.Argument(help="The file; default: standard output")] = None,
    format: Annotated[Format, typer.Option(help="ndjson, or csv for spreadsheets")] = "ndjson",
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Such as tier=vip or paid_from=2026-01-01T00:00:00; repeatable")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="These, comma-separated, in this order; default: all")] = None,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Personal fields as they are; needs --reason")] = False,
    reason: Annotated[str | None, typer.Option(help="Why unmasked; kept with the export")] = None,
    run: Annotated[str | None, typer.Option(help="scores only: those of a run as of a day, as NDJSON")] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Write a shop's rows to a file. Personal fields are masked, unless told otherwise with a reason."""
    if run and (kind != "scores" or format != "ndjson" or filters or columns or unmasked):
        fail("--run goes with scores alone, as NDJSON", 2)
    asked: dict[str, Any] = {"kind": kind, "format": format, "unmasked": unmasked, "reason": reason}
    asked["columns"] = columns.split(",") if columns else None
    asked["filters"] = dict(_filter(text) for text in filters or ())
    with open_client(url, api_key) as http:
        if run:
            fetched = _fetch(http, "/v1/scores/export", {"run": run}, file)
            say(f"{fetched} bytes")
            return
        made = answer(http.post("/v1/exports", json=asked))
        export_at = f"/v1/exports/{made['id']}"
        try:
            with progress_bar(kind) as update:
                while made["state"] in ("queued", "running"):
                    time.sleep(POLL_SECONDS)
                    made = answer(http.get(export_at))
                    update(made["scanned"], made["total"])
            if made["state"] != "done":
                fail(f"the export {made['id']} is {made['state']}")
            _fetch(http, f"{export_at}/content", {}, file)
        finally:
            http.delete(export_at)  # fetched, or given up: nobody needs the copy there
    say(f"{made['rows']} rows")


def _filter(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        fail(f"--filter {text}: write name=value", 2)
    return name, value


def _fetch(http: httpx.Client, path: str, params: dict[str, str], file: Path | None) -> int:
    """Stream an answer into a file that only its owner reads, and that is there once it is whole. Returns its bytes."""
    count = 0
    part = file.with_name(f"{file.name}.part") if file else None
    with http.stream("GET", path, params=params, timeout=None) as response:
        if response.status_code != 200:
            response.read()
            answer(response)
        own = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        target = os.fdopen(os.open(part, own, 0o600), "wb") if part else sys.stdout.buffer
        try:
            for piece in response.iter_bytes():
                target.write(piece)
                count += len(piece)
        finally:
            if part:
                target.close()
    if part and file:
        part.replace(file)
    return count


def _import(
    kind: str,
    file: Path,
    url: str | None,
    api_key: str | None,
    source: str,
    *,
    dry_run: bool,
    as_json: bool,
    policy: str = "overwrite",
) -> None:
    base_url, key = place(url, api_key)
    try:
        with progress_bar(kind) as update:
            result = asyncio.run(
                client.import_file(
                    kind,
                    file,
                    base_url=base_url,
                    api_key=key,
                    source=source,
                    policy=policy,
                    dry_run=dry_run,
                    on_progress=lambda told: update(told["rows"], None, moving(told)),
                    on_wait=lambda: say("nobody has taken the import yet: is a worker running? (kehu worker)"),
                )
            )
    except ImportRefused as error:
        fail(str(error))
    _report(result, dry_run=dry_run, as_json=as_json)


def moving(told: dict[str, Any]) -> str:
    """How an import goes, in a few words."""
    parts = [f"{told['rows_per_second']:,.0f} rows/s"] if told["rows_per_second"] else []
    parts += [f"{told['seconds_left']:,.0f} s left"] if told["seconds_left"] is not None else []
    parts += [f"{told['refused']:,} refused"] if told["refused"] else []
    return ", ".join(parts) or str(told["state"])


def _report(result: ImportResult, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({name: getattr(result, name) for name in ImportResult.__dataclass_fields__})
    else:
        for name in result.unknown_columns:
            say(f"column ignored: {name}")
        would = "would be " if dry_run else ""
        say(
            f"{would}{result.created} created, {result.updated} updated, {result.unchanged} unchanged, "
            f"{result.refused} refused, from {result.rows} rows in {result.seconds:.1f} s"
        )
        if result.report_path:
            say(f"refused rows, with reasons: {result.report_path}")
    if result.state != "done":
        fail(f"the import ended as {result.state}; see GET /v1/imports/{result.id}")
    if result.refused:
        raise typer.Exit(3)
