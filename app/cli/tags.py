"""tags: which a shop has, and what they come to."""

from typing import Annotated, Any, Final

import typer

from app.cli.console import print_json, print_table
from app.cli.remote import ApiKey, Json, Url, pages

tags = typer.Typer(help="Tags: which there are, who gave them, and which are used no more.", no_args_is_help=True)

_PATIENCE_SECONDS: Final = 60  # every assignment is looked at


@tags.command("list")
def list_tags(
    prefix: Annotated[str | None, typer.Option(help="How the name begins")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Tags with their categories, oldest first."""
    told = pages("/v1/tags", {"limit": 200} | ({"name_prefix": prefix} if prefix else {}), url, api_key)
    if as_json:
        print_json(told)
        return
    print_table(
        ("tag", "number", "category", "status", "kind", "used by"),
        [(one["name"], str(one["id"]), one["category"] or "", one["status"], one["kind"], _users(one)) for one in told],
    )


@tags.command("report")
def report(
    stale_days: Annotated[int, typer.Option(help="Who was given to nobody for so long is stale")] = 90,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """How many carry each tag, how many of them came in the last 30 days, by whose doing; which are stale or unused."""
    told = pages("/v1/tags/report", {"stale_days": stale_days}, url, api_key)
    if as_json:
        print_json(told)
        return
    print_table(
        ("tag", "customers", "share", "30 days", "last", "by", "note"),
        [
            (
                one["name"],
                f"{one['customers']:,}",
                "" if one["share"] is None else f"{one['share']:.1%}",
                f"{one['added_30d']:,}",
                (one["last_assigned_at"] or "")[:10],
                ", ".join(f"{source} {count:,}" for source, count in sorted(one["by_source"].items())),
                "unused" if one["unused"] else "stale" if one["stale"] else "",
            )
            for one in told
        ],
    )


def _users(one: dict[str, Any]) -> str:
    return ", ".join(f"{user['kind']} {user['name']}" for user in one["used_by"])
