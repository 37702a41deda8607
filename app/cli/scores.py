"""scores: a shop's customers as a whole, in the terminal, as JSON or as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum, auto
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.cli import pictures
from app.cli.bars import print_bars
from app.cli.console import print_json, print_table, say
from app.cli.remote import ApiKey, Json, Url, answer, open_client

scores = typer.Typer(
    help="How customers are distributed, how they moved, and what predictions rest on.", no_args_is_help=True
)

Run = Annotated[str | None, typer.Option(help="An as-of run, by its id; default: live")]
Out = Annotated[Path | None, typer.Option("--out", help="Draw it: a name that ends in .png or .svg")]

_PATIENCE_SECONDS: Final = 60  # everybody is looked at
_PARTS: Final = {
    "stages": "Stages",
    "cycle_states": "Repurchase cycle",
    "churn_bands": "Churn",
    "nurture_stages": "Leads",
    "flags": "Flags",
}


class Of(StrEnum):
    """What to follow."""

    tier = auto()
    stage = auto()


@scores.command("distribution")
def distribution(
    run: Run = None, out: Out = None, url: Url = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Customers by tier, RFM, stage, repurchase cycle, churn band, flag and predicted value."""
    pictures.check_place(out)
    told = _ask("/v1/scores/distribution", {"run": run}, url, api_key)
    if as_json:
        print_json(told)
    else:
        _show_distribution(told)
    if out:
        pictures.draw_distribution(told, out)


@scores.command("migration")
def migration(
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="Where customers were on this day")],
    to: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="and where on this one; both exclusive")],
    of: Annotated[Of, typer.Option(help="What to follow")] = Of.tier,
    out: Out = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """How many customers went from which tier, or stage, to which between two days."""
    pictures.check_place(out)
    asked = {"from": since.date().isoformat(), "to": to.date().isoformat(), "of": of.value}
    told = _ask("/v1/scores/migration", asked, url, api_key)
    if as_json:
        print_json(told)
    else:
        _show_migration(told)
    if out:
        pictures.draw_migration(told, out)


@scores.command("models")
def models(run: Run = None, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """The fit that predicted value is computed with, and the one that fits the run's day best."""
    told = _ask("/v1/scores/models", {"run": run}, url, api_key)
    if as_json:
        print_json(told)
    else:
        _show_models(told)


def _ask(path: str, asked: Mapping[str, str | None], url: str | None, api_key: str | None) -> Any:
    given = {name: value for name, value in asked.items() if value is not None}
    with open_client(url, api_key) as http:
        return answer(http.get(path, params=given, timeout=_PATIENCE_SECONDS))


def _show_distribution(told: dict[str, Any]) -> None:
    say(f"{told['customers']:,} customers as of {told['as_of']}, by run {told['run_id']}")
    _bars("Tiers", told["tiers"])
    _table(
        ("tier", "label", "customers", "share", "expected"),
        [
            (one["name"], one["label"] or "", _number(one["customers"]), _percent(one["share"]), _band(one))
            for one in told["tiers"]
        ],
    )
    for tier in told["tiers"]:
        if tier["warning"]:
            say(tier["warning"])
    net = ("customers", "share", "net spend, yuan")
    _table(("RFM type", *net), [_net_row(one) for one in told["rfm_types"]])
    _table(("RFM grid", *net), [_net_row(one) for one in told["grid_names"]])
    _table(
        ("customers by r and f", *(f"f {f}" for f in range(1, 6))),
        [
            (f"r {r}", *(_number(cell["customers"]) for cell in told["rfm_grid"] if cell["r"] == r))
            for r in range(5, 0, -1)
        ],
    )
    for name, title in _PARTS.items():
        _bars(title, told[name])
    _show_value(told["clv"])
    _show_cycle(told["repurchase_cycle"])


def _show_value(clv: dict[str, Any]) -> None:
    deciles = clv["deciles"]
    yuan = [round(one["sum_fen"] / 100) for one in deciles]
    print_bars("Predicted value of a year by decile, yuan", [str(one["decile"]) for one in deciles], yuan)


def _show_cycle(cycle: dict[str, Any]) -> None:
    bins = cycle["bins"]
    print_bars("Days between purchases", [pictures.days(one) for one in bins], [one["customers"] for one in bins])
    if cycle["customers"]:
        say(
            f"{cycle['customers']:,} customers with two purchase days or more; median {cycle['median_days']:.1f} days, "
            f"mean {cycle['mean_days']:.1f}, q10 {cycle['q10_days']:.1f}, q90 {cycle['q90_days']:.1f}"
        )


def _show_migration(told: dict[str, Any]) -> None:
    counts = {(move["from_name"], move["to_name"]): move["customers"] for move in told["moves"]}
    rows, columns = pictures.places(told)
    _table(
        (f"{told['from_as_of']} to {told['to_as_of']}", *(name or pictures.NO_LONGER for name in columns)),
        [
            (before or pictures.NOT_YET, *(_number(counts.get((before, after), 0)) for after in columns))
            for before in rows
        ],
    )
    if told["first_as_of"] is None:
        say(f"no change of {told['of']} has been recorded yet")
    directions = ("moved_up", "moved_down") if told["moved_up"] is not None else ("moved",)
    parts = ("stayed", *directions, "entered", "left")
    print_bars("Customers", [name.replace("_", " ") for name in parts], [told[name] for name in parts])


def _show_models(told: dict[str, Any]) -> None:
    say(f"run {told['run_id']} as of {told['as_of']}: fitted to {told['fitted_to']}, time in {told['unit']}s")
    if told["declined"]:
        say(f"declined: {told['declined']['code']}: {told['declined']['detail'] or ''}")
    for name, title in (("purchases", "BG/NBD"), ("spend", "Gamma-Gamma")):
        in_use, optimum = told[name], told[f"{name}_optimum"]
        if in_use or optimum:
            _table((title, "in use", "optimum"), list(_fit_rows(in_use or {}, optimum or {}, told["fitted_to"])))
        for message in (optimum or {}).get("messages", ()):
            say(f"{title}: {message}")
    for name, value in (told["backtest"] or {}).items():
        if isinstance(value, int | float):
            say(f"backtest: {name.replace('_', ' ')} {value:,.4g}")


def _fit_rows(in_use: dict[str, Any], optimum: dict[str, Any], fitted_to: str) -> Iterator[tuple[str, str, str]]:
    fits = (in_use, optimum)
    for name in (in_use or optimum)["parameters"]:
        used, best = (f"{fit['parameters'][name]:.4f}" if fit else "" for fit in fits)
        yield name, used, best
    used, best = (f"{fit['log_likelihood']:,.2f}" if fit else "" for fit in fits)
    yield "log-likelihood", used, best
    used, best = (("yes" if fit["converged"] else "no") if fit else "" for fit in fits)
    yield "converged", used, best
    yield "fitted to", in_use.get("fitted_to") or "", fitted_to if optimum else ""


def _bars(title: str, parts: Sequence[dict[str, Any]]) -> None:
    print_bars(title, [one["name"] for one in parts], [one["customers"] for one in parts])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print_table(columns, rows)
    typer.echo()


def _net_row(one: dict[str, Any]) -> tuple[str, ...]:
    return (one["name"], _number(one["customers"]), _percent(one["share"]), _number(round(one["net_fen"] / 100)))


def _number(count: int) -> str:
    return f"{count:,}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _band(tier: dict[str, Any]) -> str:
    band = tier["expected_share"]
    return f"{band[0]:.0%} to {band[1]:.0%}" if band else ""
