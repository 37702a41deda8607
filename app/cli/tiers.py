"""show, preview, publish: a shop's tier definition, through the same public calls as everyone's."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table
from rich.text import Text

from app.cli.console import fail, out, print_json, say
from app.cli.remote import ApiKey, Json, Url, answer, follow, open_client
from app.scoring.tiers.definition import Condition
from app.scoring.tiers.shares import Move, move_matrix

tiers = typer.Typer(
    help="The definition of value tiers: what it is, what another one would do, and publishing one.",
    no_args_is_help=True,
)

File = Annotated[Path | None, typer.Argument(help="A definition in JSON; docs/tiers.md tells how to write one")]
Scheme = Annotated[str | None, typer.Option(help="In place of a file, a built-in one: value, growth or absolute")]

_NO_TIER = "(none)"
_PATIENCE_SECONDS = 60  # a preview looks at every customer


@tiers.command("show")
def show(url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """The definition that counts, and how the last run spread the customers over it."""
    with open_client(url, api_key) as http:
        told = answer(http.get("/v1/scores/tiers"))
    if as_json:
        print_json(told)
        return
    run = told.get("last_run")
    of_run = run["tiers"] if run and run["version"] == told["version"] else ()
    shares = {row["tier"]: row.get("share") for row in of_run}
    say(f"{told['definition']['name']}, version {told['version']}" + ("" if told["version"] else " (built in)"))
    _print_table(
        ("tier", "label", "when", "expected", "last run"),
        [
            (
                tier["name"],
                tier["label"],
                " and ".join(str(Condition.model_validate(one)) for one in tier["when"]) or "everybody else",
                _band(tier.get("expected_share")),
                _percent(shares.get(tier["name"])),
            )
            for tier in told["definition"]["tiers"]
        ],
    )
    for warning in run["warnings"] if of_run else ():
        say(warning["text"])


@tiers.command("preview")
def preview(
    file: File = None, scheme: Scheme = None, url: Url = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """What a definition would do to the customers as they are now: from the tiers of today, to those it would give."""
    body = _asked(file, scheme)
    with open_client(url, api_key) as http:
        told = answer(http.post("/v1/scores/tiers/preview", json=body, timeout=_PATIENCE_SECONDS))
    if as_json:
        print_json(told)
        return
    matrix = move_matrix(Move.model_validate(move) for move in told["moves"])
    columns = [row["tier"] for row in told["tiers"]]
    _print_table(
        ("from", *(f"to {name}" for name in columns)),
        [
            (_NO_TIER if before is None else before, *(f"{row.get(name, 0):,}" for name in columns))
            for before, row in matrix.items()
        ],
    )
    _print_table(
        ("tier", "customers", "share", "expected"),
        [
            (row["tier"], f"{row['customers']:,}", _percent(row["share"]), _band(row["expected_share"]))
            for row in told["tiers"]
        ],
    )
    for warning in told["warnings"]:
        say(warning["text"])
    say(f"{told['moving']:,} of {told['customers']:,} customers would move")


@tiers.command("publish")
def publish(
    file: File = None,
    scheme: Scheme = None,
    wait: Annotated[bool, typer.Option(help="Wait until everybody has been scored by it")] = True,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Make it the definition that counts, and score everybody by it."""
    body = _asked(file, scheme)
    with open_client(url, api_key) as http:
        accepted = answer(http.put("/v1/scores/tiers", json=body))
        job = follow(http, accepted["job_id"], "scoring", wait=wait) if "job_id" in accepted else None
    if as_json:
        print_json(accepted | ({"state": job["state"], "result": job["result"]} if job else {}))
    elif job is None:
        say(f"version {accepted['version']} is this definition already")
    else:
        say(f"version {accepted['version']}, run {accepted['run_id']}: {job['state']}")
    if job and job["state"] not in ("done", "queued", "running"):
        raise typer.Exit(1)


def _asked(file: Path | None, scheme: str | None) -> dict[str, Any]:
    if (file is None) == (scheme is None):
        fail("say a FILE, or --scheme with the name of a built-in one", 2)
    if file is None:
        return {"scheme": scheme}
    try:
        return {"definition": orjson.loads(file.read_bytes())}
    except OSError as error:
        fail(f"{file}: {error.strerror}", 2)
    except orjson.JSONDecodeError as error:
        fail(f"{file} is not JSON: {error}", 2)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _band(band: list[float] | None) -> str:
    return "" if band is None else f"{band[0]:.0%} to {band[1]:.0%}"


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Labels are a shop's words: as plain text, they format nothing."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out.print(table)
