"""The command: python -m benchmarks [NAME ...], or ./kehu bench."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli.console import fail, say
from app.embedded.errors import EmbeddedError
from benchmarks import (
    batch,
    events,
    facade,
    gateway,
    imports,
    lists,
    push,
    report,
    scoring,
    segments,
    size,
    start,
    street,
    touches,
)
from benchmarks.client import WrongAnswer
from benchmarks.measure import Figure, Plan

BENCHMARKS: Final[dict[str, Callable[[Plan], list[Figure]]]] = {
    "facade": facade.run,
    "gateway": gateway.run,
    "batch": batch.run,
    "events": events.run,
    "imports": imports.run,
    "street": street.run,
    "push": push.run,
    "touches": touches.run,
    "lists": lists.run,
    "scoring": scoring.run,
    "segments": segments.run,
    "start": start.run,
    "size": size.run,
}
LONG: Final = {"size"}  # an hour and tens of gigabytes: only when asked for by name


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(BENCHMARKS)}; all but {', '.join(LONG)} by default")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short rounds and small shops: a smoke test")] = False,
    check: Annotated[
        bool, typer.Option("--check", help=f"Exit 1 when a ratio is over {report.TOLERANCE:.0%} worse than recorded")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep the figures in docs/benchmarks.json and .md")] = False,
    customers: Annotated[
        int | None,
        typer.Option(
            min=1000, help="Size of the shops, e.g. 1000000 for lists, scoring and segments; of `size` 10000000"
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Where the databases live meanwhile")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where `size` leaves its database, and finds it next time")
    ] = None,
) -> None:
    """Measure the service beside a bare baseline that does the same row work, on servers of its own with real fsync."""
    chosen = names or [name for name in BENCHMARKS if name not in LONG]
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        fail(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}", 2)
    if record and quick:
        fail("a quick run is not worth recording; leave --quick out", 2)
    plan = Plan(quick=quick, customers=customers, directory=data, keep=keep)
    figures: list[Figure] = []
    loads: dict[str, tuple[float, float]] = {}
    for name in chosen:
        say(f"measuring {name} ...")
        before = os.getloadavg()[0]
        try:
            found = BENCHMARKS[name](plan)
        except (EmbeddedError, WrongAnswer, TimeoutError, subprocess.TimeoutExpired) as error:
            fail(f"{name}: {error}")
        loads[name] = before, os.getloadavg()[0]
        report.show(name, found, loads[name])
        figures += found
    worse = report.worse_than_record(figures) if check else []
    if record:
        report.record(figures, report.machine(plan), loads)
        say(f"recorded in {report.RECORD.name} and {report.PAGE.name}")
    for line in worse:
        say(f"worse than recorded: {line}")
    if worse:
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(bench)
    app()
