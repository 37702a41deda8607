"""import, export, rescore: an operator's work with data, through the same public calls as everyone's."""

import asyncio
import csv
import sys
import time
from datetime import datetime
from enum import StrEnum, auto
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import httpx
import orjson
import typer

from app.cli.console import fail, print_json, progress_bar, say
from app.cli.environment import demo_facts
from app.imports import client
from app.imports.client import ImportResult
from app.imports.errors import ImportRefused
from app.imports.kinds import KINDS
from app.imports.report import harmless

imports = typer.Typer(
    help="Upload a file of customers, orders, events, identities or tags, and follow it until a worker has put it in.",
    no_args_is_help=True,
)
exports = typer.Typer(help="Write data to a file.", no_args_is_help=True)

Url = Annotated[str | None, typer.Option("--url", envvar="KEHU_URL", help="Where Kehu answers; default: the demo here")]
ApiKey = Annotated[str | None, typer.Option(envvar="KEHU_API_KEY", help="An API key; default: the demo's here")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
File = Annotated[Path, typer.Argument(help="The file: CSV, or JSON objects in .ndjson; .gz too")]
Source = Annotated[str, typer.Option(help="Which system the external_id column comes from")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would become of the rows, write nothing")]

_POLL_SECONDS: Final = 0.2


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
    with _client(url, api_key) as http:
        accepted = _answer(http.post("/v1/triggers/rescore", json={"as_of": as_of.date().isoformat()} if as_of else {}))
        job = _answer(http.get(f"/v1/jobs/{accepted['job_id']}"))
        if wait:
            with progress_bar("scoring") as update:
                while job["state"] in ("queued", "running"):
                    update(job["done"], job["total"])
                    time.sleep(_POLL_SECONDS)
                    job = _answer(http.get(f"/v1/jobs/{accepted['job_id']}"))
                update(job["done"], job["total"])
    if as_json:
        print_json(accepted | {"state": job["state"], "result": job["result"]})
    else:
        say(f"run {accepted['run_id']}: {job['state']}")
    if job["state"] not in ("done", "queued", "running"):
        raise typer.Exit(1)


@exports.command("scores")
def export_scores(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: standard output")] = None,
    run: Annotated[str | None, typer.Option(help="Run id; default: the live scores")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of NDJSON")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Everyone's scores, one line each. External ids are masked unless the key holds pii:read."""
    count = 0
    with (
        _client(url, api_key) as http,
        http.stream("GET", "/v1/scores/export", params={"run": run} if run else {}, timeout=None) as response,
    ):
        if response.status_code != 200:
            response.read()
            _answer(response)
        target = out.open("w", newline="", encoding="utf-8") if out else sys.stdout
        try:
            writer = csv.writer(target)
            for line in response.iter_lines():
                count += 1
                if not as_csv:
                    target.write(line + "\n")
                    continue
                row = orjson.loads(line)
                if count == 1:
                    writer.writerow(row)
                writer.writerow(map(_cell, row.values()))
        finally:
            if out:
                target.close()
    say(f"{count} customers")


def _cell(value: Any) -> Any:
    """A spreadsheet would run a text that starts like a formula."""
    return harmless(value) if isinstance(value, str) else value


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
    base_url, key = _place(url, api_key)
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


def _place(url: str | None, api_key: str | None) -> tuple[str, str]:
    facts = demo_facts()
    base_url, key = url or facts.get("base_url"), api_key or facts.get("api_key")
    if not base_url or not key:
        fail("say where and with what key: --url and --api-key (or KEHU_URL and KEHU_API_KEY)", 2)
    return base_url, key


def _client(url: str | None, api_key: str | None) -> httpx.Client:
    base_url, key = _place(url, api_key)
    return httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    _refused(response)


def _refused(response: httpx.Response) -> NoReturn:
    try:
        problem = response.json()
        fail(f"{problem.get('code')}: {problem.get('detail')}")
    except ValueError:
        fail(f"the server answered {response.status_code}")
