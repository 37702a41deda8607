"""segments: which a shop has, a rule tried, one defined, and who is in it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from app.cli.console import fail, print_json, print_table, say
from app.cli.remote import ApiKey, Json, Url, answer, follow, open_client, pages

segments = typer.Typer(
    help="Segments: customers whom a rule means, kept as they change and as time passes.", no_args_is_help=True
)

Wait = Annotated[bool, typer.Option(help="Wait until everybody has been asked")]

_PATIENCE_SECONDS: Final = 60  # a rule is asked of everybody
_PAGE: Final = 200


@segments.command("list")
def list_segments(
    all_: Annotated[bool, typer.Option("--all", help="Archived ones, too")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Segments, newest first."""
    asked: dict[str, Any] = {"limit": _PAGE} | ({} if all_ else {"state": "active"})
    found = pages("/v1/segments", asked, url, api_key)
    if as_json:
        print_json(found)
        return
    print_table(
        ("segment", "number", "kind", "folder", "customers", "version", "looked at"),
        [
            (
                one["name"],
                str(one["segment_id"]),
                one["kind"],
                one["folder"] or "",
                f"{one['size']:,}",
                "not built yet" if one["live_version"] is None else str(one["live_version"]),
                (one["computed_at"] or "")[:16].replace("T", " "),
            )
            for one in found
        ],
    )


@segments.command("ready-made")
def ready_made(url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Rules to begin with: `kehu segments create NAME --ready-made SLUG`."""
    with open_client(url, api_key) as http:
        told = answer(http.get("/v1/segments/ready-made"))
    if as_json:
        print_json(told)
    else:
        print_table(("slug", "title", "rule"), [(one["slug"], one["title_zh"], one["text_en"]) for one in told])


@segments.command("preview")
def preview(
    text: Annotated[str, typer.Argument(help="A rule, such as \"last_order > 60 days ago and tier = 'vip'\"")],
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """How many customers meet a rule now. Nothing is written."""
    with open_client(url, api_key) as http:
        body = {"text": text, "sample": 0}
        told = answer(http.post("/v1/segments/preview", json=body, timeout=_PATIENCE_SECONDS))
    if as_json:
        print_json(told)
    else:
        say(f"{told['customers']:,} customers, counted in {told['took_ms']} ms")


@segments.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is called")],
    text: Annotated[str | None, typer.Option(help="The rule, as people write it")] = None,
    slug: Annotated[str | None, typer.Option("--ready-made", help="A ready-made rule, by its slug")] = None,
    tag: Annotated[str | None, typer.Option(help="An automatic tag that its members carry")] = None,
    folder: Annotated[str | None, typer.Option(help="Where it is filed")] = None,
    wait: Wait = True,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Define a segment of whoever meets a rule, and build it."""
    told = {"text": text, "ready_made": slug, "tag": tag, "folder": folder}
    body = {"name": name} | {key: value for key, value in told.items() if value is not None}
    with open_client(url, api_key) as http:
        made = answer(http.post("/v1/segments", json=body))
        job = follow(http, made["job_id"], "asking everybody", wait=wait)
        found = answer(http.get(f"/v1/segments/{made['segment_id']}"))
    if as_json:
        print_json(found)
        return
    _check(job, found)
    say(f"segment {found['segment_id']}: {found['size']:,} customers")


@segments.command("build")
def build(
    number: Annotated[int, typer.Argument(help="The segment's number")],
    wait: Wait = True,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Ask everybody again; membership is kept without this, so it is for when you doubt it."""
    with open_client(url, api_key) as http:
        started = answer(http.post(f"/v1/segments/{number}/build"))
        job = follow(http, started["job_id"], "asking everybody", wait=wait)
        found = answer(http.get(f"/v1/segments/{number}"))
    _check(job, found)
    moved = (job["result"] or {}).get("moved")
    say(f"segment {number}: {found['size']:,} customers" + ("" if moved is None else f", {moved:,} came or went"))


def _check(job: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    problem = found["problem"] or job["error"]
    if problem:
        fail(f"segment {found['segment_id']} could not be built: {problem}")
