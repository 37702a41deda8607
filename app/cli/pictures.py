"""Reports as pictures, PNG or SVG, drawn by matplotlib without a screen."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.cli.console import fail, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Final = (".png", ".svg")
NOT_YET: Final = "(not yet)"
NO_LONGER: Final = "(no longer)"
_COLOUR: Final = "#3b6ea5"
_MAP: Final = "Blues"


def check_place(file: Path | None) -> None:
    """Before anything is asked: whether a picture can be written there. Exits with what to write instead."""
    if file is None:
        return
    if file.suffix.lower() not in SUFFIXES:
        fail(f"--out {file}: write a name that ends in .png or .svg", 2)
    if not file.parent.is_dir():
        fail(f"--out {file}: there is no folder {file.parent}", 2)
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        fail(f"--out {file}: cannot be written; name a file in a folder of yours", 2)


def draw_distribution(told: dict[str, Any], file: Path) -> None:
    """Tiers, stages, the RFM grid, predicted value and the repurchase cycle on one sheet."""
    figure = _sheet(14, 8.5, f"{told['customers']:,} customers, as of {told['as_of']}")
    places = figure.subplots(2, 3)
    _bars(places[0][0], "Tiers", [one["name"] for one in told["tiers"]], [one["customers"] for one in told["tiers"]])
    _bars(places[0][1], "Stages", [one["name"] for one in told["stages"]], [one["customers"] for one in told["stages"]])
    counts = [[0] * 5 for _ in range(5)]
    for cell in told["rfm_grid"]:
        counts[5 - cell["r"]][cell["f"] - 1] = cell["customers"]
    scores = ["1", "2", "3", "4", "5"]
    _heat(places[0][2], "Recency and frequency", counts, scores[::-1], scores, ("recency (r)", "frequency (f)"))
    deciles = told["clv"]["deciles"]
    yuan = [one["sum_fen"] / 100 for one in deciles]
    _columns(places[1][0], "Predicted value by decile, yuan", [str(one["decile"]) for one in deciles], yuan)
    bins = told["repurchase_cycle"]["bins"] if told["repurchase_cycle"]["customers"] else []
    _columns(
        places[1][1],
        "Repurchase cycle, days",
        [days(one) for one in bins],
        [one["customers"] for one in bins],
    )
    flags = told["flags"]
    _bars(places[1][2], "Flags", [one["name"] for one in flags], [one["customers"] for one in flags])
    _write(figure, file)


def draw_migration(told: dict[str, Any], file: Path) -> None:
    """Where from and where to, as a heat map with counts."""
    rows, columns = places(told)
    counts = {(move["from_name"], move["to_name"]): move["customers"] for move in told["moves"]}
    figure = _sheet(
        3 + 1.1 * len(columns),
        2.5 + 0.7 * len(rows),
        f"{told['of'].capitalize()}s from {told['from_as_of']} to {told['to_as_of']}",
    )
    _heat(
        figure.subplots(),
        "",
        [[counts.get((before, after), 0) for after in columns] for before in rows],
        [name or NOT_YET for name in rows],
        [name or NO_LONGER for name in columns],
        (f"on {told['from_as_of']}", f"on {told['to_as_of']}"),
    )
    _write(figure, file)


def places(told: dict[str, Any]) -> tuple[list[str | None], list[str | None]]:
    """Rows and columns of a migration: every name, and None where customers came from nowhere or went there."""
    names = told["names"]
    return [*names, *([None] if told["entered"] else [])], [*names, *([None] if told["left"] else [])]


def days(one: dict[str, Any]) -> str:
    """A bin of days as people write it."""
    return f"{one['from_days']}+" if one["to_days"] is None else f"{one['from_days']}-{one['to_days']}"


def _sheet(width: float, height: float, title: str) -> "Figure":
    from matplotlib.figure import Figure  # half a second, for who wants a picture

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title)
    return figure


def _bars(place: "Axes", title: str, names: Sequence[str], values: Sequence[float]) -> None:
    if _nothing(place, title, values):
        return
    bars = place.barh([_drawable(name) for name in names], values, color=_COLOUR)
    place.bar_label(bars, labels=[f"{value:,}" for value in values], padding=3)
    place.invert_yaxis()
    place.margins(x=0.25)
    place.xaxis.set_visible(False)


def _columns(place: "Axes", title: str, names: Sequence[str], values: Sequence[float]) -> None:
    if _nothing(place, title, values):
        return
    place.bar(names, values, color=_COLOUR)
    place.tick_params(axis="x", labelrotation=45 if len(names[-1]) > 2 else 0)
    place.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _heat(
    place: "Axes",
    title: str,
    counts: Sequence[Sequence[int]],
    rows: Sequence[str],
    columns: Sequence[str],
    axes: tuple[str, str],
) -> None:
    if _nothing(place, title, [count for row in counts for count in row]):
        return
    most = max(count for row in counts for count in row)
    place.imshow(counts, cmap=_MAP, vmin=0, vmax=most, aspect="auto")
    place.set_yticks(range(len(rows)), [_drawable(name) for name in rows])
    place.set_xticks(range(len(columns)), [_drawable(name) for name in columns], rotation=30 if len(columns) > 5 else 0)
    place.set_ylabel(axes[0])
    place.set_xlabel(axes[1])
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            colour = "white" if count > most * 0.6 else "black"
            place.text(column, row, f"{count:,}", ha="center", va="center", color=colour)


def _nothing(place: "Axes", title: str, values: Sequence[float]) -> bool:
    place.set_title(title)
    if any(values):
        return False
    place.axis("off")
    place.text(0.5, 0.5, "none", ha="center", va="center")
    return True


def _drawable(name: str) -> str:
    """The built-in font knows no Chinese, and a name is better read in escapes than as boxes."""
    return name.encode("ascii", "backslashreplace").decode()


def _write(figure: "Figure", file: Path) -> None:
    """Made whole before a byte is written."""
    picture = BytesIO()
    figure.savefig(picture, format=file.suffix[1:].lower(), dpi=120)
    try:
        file.write_bytes(picture.getvalue())
    except OSError as error:
        fail(f"--out {file}: cannot be written: {error.strerror}")
    say(f"wrote {file}")
