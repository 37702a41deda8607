"""What was measured, as tables, as the record beside the documentation, and compared with that record."""

import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from app.cli.console import out
from app.embedded import binaries
from benchmarks.measure import RATIO, Figure, Plan

TOLERANCE: Final = 0.15
_WIDTH: Final = 150
_DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
RECORD: Final = _DOCS / "benchmarks.json"
PAGE: Final = _DOCS / "benchmarks.md"
_BLOCK: Final = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def machine(plan: Plan) -> dict[str, str]:
    """What the figures were measured on; nothing in it names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = subprocess.run(
        [binaries.postgres_bin() / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return {
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "Postgres": version.rpartition(" ")[2].strip() if ")" not in version else version.split()[-1],
        "one fsync of 8 KiB": f"{_fsync_ms(plan.directory):.2f} ms",
    }


def show(name: str, figures: Sequence[Figure], load: tuple[float, float]) -> None:
    """A table on stdout."""
    table = Table(title=f"{name} (load average before {load[0]:.1f}, after {load[1]:.1f})", title_justify="left")
    for heading in ("figure", "value", "min to max", "target", "", "detail"):
        table.add_column(heading, overflow="fold")
    for figure in figures:
        table.add_row(figure.name, *_cells(_entry(figure)))
    Console(width=max(out.width, _WIDTH)).print(table)


def worse_than_record(figures: Sequence[Figure]) -> list[str]:
    """A line for each ratio that is worse than the recorded one by more than the tolerance."""
    recorded = read().get("figures", {})
    lines = []
    for figure in figures:
        known = recorded.get(figure.name)
        if figure.unit != RATIO or known is None:
            continue
        change = figure.value / known["value"] - 1
        if (-change if figure.higher_is_better else change) > TOLERANCE:
            lines.append(f"{figure.name}: {figure.value:.2f}, recorded {known['value']:.2f}")
    return lines


def read() -> dict[str, Any]:
    """The record, or nothing."""
    found: dict[str, Any] = orjson.loads(RECORD.read_bytes()) if RECORD.is_file() else {}
    return found


def record(figures: Sequence[Figure], facts: Mapping[str, str], load: Mapping[str, tuple[float, float]]) -> None:
    """Put the figures into the record, keep the others that stand there, and renew the table in the documentation."""
    known = read()
    loads = known.get("load", {}) | {name: list(pair) for name, pair in load.items()}
    entries = known.get("figures", {}) | {figure.name: _entry(figure) for figure in figures}
    day = datetime.now(UTC).date().isoformat()
    written = {"recorded_on": day, "machine": dict(facts), "load": loads, "figures": entries}
    RECORD.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2) + b"\n")
    if PAGE.is_file():
        page = PAGE.read_text()
        PAGE.write_text(_BLOCK.sub(lambda found: found[1] + _markdown(written) + found[2], page))


def _entry(figure: Figure) -> dict[str, Any]:
    return {
        "value": round(figure.value, 3),
        "min": round(min(figure.values), 3),
        "max": round(max(figure.values), 3),
        "unit": figure.unit,
        "target": figure.target,
        "higher_is_better": figure.higher_is_better,
        "met": figure.is_met,
        "detail": figure.detail,
    }


def _cells(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    unit = entry["unit"]
    target = ""
    if entry["target"] is not None:
        target = f"{'≥' if entry['higher_is_better'] else '≤'} {_number(entry['target'], unit)}"
    verdict = {True: "met", False: "missed", None: ""}[entry["met"]]
    spread = f"{_number(entry['min'], unit)} to {_number(entry['max'], unit)}"
    return _number(entry["value"], unit), spread, target, verdict, entry["detail"]


def _number(value: float, unit: str) -> str:
    if unit == RATIO:
        return f"{value:.2f}"
    text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
    return f"{text} {unit}"


def _markdown(written: Mapping[str, Any]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in written["machine"].items())
    loads = ", ".join(f"{name} {pair[0]:.1f}" for name, pair in written["load"].items())
    lines = [
        f"Recorded on {written['recorded_on']}. Machine: {facts}. Load average before each benchmark: {loads}.",
        "",
        "| figure | value | min to max | target | verdict | detail |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {name} | {' | '.join(_cells(entry))} |" for name, entry in sorted(written["figures"].items())]
    return "\n".join(lines) + "\n"


def _fsync_ms(directory: Path | None) -> float:
    """What durability costs here: the median of a hundred."""
    taken = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(100):
            begun = time.perf_counter()
            file.write(bytes(8192))
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return median(taken)
