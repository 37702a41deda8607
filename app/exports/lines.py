"""Rows as lines of a file: masked by the class of each field, and in CSV without cells that a spreadsheet would run."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from pydantic import BaseModel

from app.core.cells import harmless
from app.core.masking import UNMASK

MEDIA_TYPES: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_MARK: Final = "\ufeff"  # tells spreadsheets that it is UTF-8


def shown(line: type[BaseModel], fields: dict[str, Any], *, unmasked: bool) -> dict[str, Any]:
    """What a row shows, in JSON's types. Masking is the model's: a field that is personal there is masked here."""
    # Our own rows need no validation; that would take longer than all the rest.
    return line.model_construct(**fields).model_dump(mode="json", context=UNMASK if unmasked else None)


def ndjson(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    """One object a line."""
    return b"".join(orjson.dumps({name: row[name] for name in columns}) + b"\n" for row in rows)


def table(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    """Cells in the order of the columns, without a header."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue().encode()


def header(columns: Sequence[str]) -> bytes:
    """What a table begins with."""
    return _MARK.encode() + ",".join(columns).encode() + b"\r\n"


WRITERS: Final = {"ndjson": ndjson, "csv": table}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, bool | dict | list):
        return orjson.dumps(value).decode()
    return value
