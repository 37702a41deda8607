"""The rows an import left out, written as a CSV that a spreadsheet opens safely."""

import csv
import os
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TextIO

from app.imports.errors import FileRefused
from app.imports.rows import RowError

# A spreadsheet runs a cell that starts with one of these; the last four are their full-width twins.
_FORMULA_STARTS = tuple("=+-@|%\t\r\n＝＋－＠")
_OTHERWISE = "Correct the row and import the file again; what is already in does not change."
_BY_CODE = {
    "identity_conflict": "The row's identities belong to two customers: keep only those of one.",
}
_BY_FIELD = {
    "": "Save the file again as CSV UTF-8 and check this line's commas, quotes and identities.",
    "order_no": "Give every line its order number, at most 64 characters.",
    "mobile": "Write 11 digits, or + and the country code; format the column as text first.",
    "email": "Write one address such as name@example.com, or leave the cell empty.",
    "paid_at": "Write times as 2024-06-18 20:30:00, with +08:00 if not in the shop's zone.",
    "updated_at": "Write times as 2024-06-18 20:30:00, with +08:00 if not in the shop's zone.",
    "created_at": "Write times as 2024-06-18 20:30:00, with +08:00 if not in the shop's zone.",
    "member_since": "Write times as 2024-06-18 20:30:00, with +08:00 if not in the shop's zone.",
    "birthday": "Write dates as 1990-12-31, or leave the cell empty.",
    "gender": "Write 0, 1 or 2, or 男 or 女, or leave the cell empty.",
    "amount": "Write the order's total in yuan, such as 128.50, the same on every line of the order.",
    "line_amount": "Write the line's own amount in yuan on every line of the order, such as 64.25.",
    "unit_price": "Write the price of one piece in yuan, such as 64.25.",
    "quantity": "Write a whole number of pieces, 1 or more; send returns as refunds.",
    "status": "Write created, paid, shipped, completed or closed.",
    "store_id": "Write the number of a store that exists, digits only.",
}


class Report:
    """Writes refused rows as they come, to a file that exists only once there is one. Use as a context manager.

    Rows stand in the order in which they were found: the file's own first, the server's as batches are answered.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._file: TextIO | None = None
        self._lock = Lock()

    @property
    def path(self) -> Path | None:
        """Where the report is, or None while there is nothing to report."""
        return self._path if self._file else None

    def add(self, error: RowError) -> None:
        """Append one row. Raises FileRefused when the report cannot be written."""
        cells = (str(error.line), error.field, error.reason, remedy(error))
        try:
            # The file's refusals come from the reading thread, the server's from the event loop.
            with self._lock:
                self.count += 1
                self._file = self._file or self._create()
                csv.writer(self._file).writerow([harmless(cell) for cell in cells])
        except OSError as exc:
            raise FileRefused(f"Cannot write the report {self._path}: {exc.strerror or exc}") from exc

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def _create(self) -> TextIO:
        # Reasons quote cells, so the report is for its owner only. The BOM tells spreadsheets that it is UTF-8.
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        file = os.fdopen(handle, "w", encoding="utf-8-sig", newline="")
        csv.writer(file).writerow(("line", "field", "reason", "remedy"))
        return file


def remedy(error: RowError) -> str:
    """What to do about it, in one sentence."""
    by_field = "" if error.code and not error.field else _BY_FIELD.get(error.field, "")
    return _BY_CODE.get(error.code) or by_field or _OTHERWISE


def harmless(cell: str) -> str:
    """The cell, with an apostrophe before it when a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell
