"""How the command line speaks: data on stdout, words on stderr, one clear line for what went wrong."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

out = Console()
err = Console(stderr=True)


def plain(message: str) -> str:
    """A file's or a server's words, without what would steer the terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in message)


def fail(message: str, code: int = 1) -> NoReturn:
    """One line on stderr, and an exit code."""
    err.print(f"kehu: {plain(message)}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(code)


def say(message: str) -> None:
    """A line for people, on stderr."""
    err.print(plain(message), highlight=False, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Data for programs."""
    sys.stdout.write(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """A table for people, or the rows as JSON."""
    if as_json:
        print_json([dict(row) for row in rows])
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    out.print(table)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for people: the first column to the left, numbers and the rest to the right. Cells format nothing."""
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    out.print(table)


@contextmanager
def progress_bar(title: str) -> Iterator[Any]:
    """`update(done, total, note)` moves the bar; on stderr, and silent where that is no terminal."""
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=err, transient=False) as progress:
        task = progress.add_task(title, total=None, note="")

        def update(done: int, total: int | None = None, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield update
