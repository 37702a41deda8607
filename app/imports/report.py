"""The rows an import left out, written as a CSV that a spreadsheet opens safely."""

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import TextIO

from app.core.cells import harmless
from app.imports.errors import FileRefused


class Report:
    """Writes refused rows as they come, to a file that exists only once there is one. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    @property
    def path(self) -> Path | None:
        """Where the report is, or None while there is nothing to report."""
        return self._path if self._file else None

    def add(self, line: int, field: str, reason: str, remedy: str) -> None:
        """Append one row. Raises FileRefused when the report cannot be written."""
        try:
            self._file = self._file or self._create()
            csv.writer(self._file).writerow([harmless(cell) for cell in (str(line), field, reason, remedy)])
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
        # For its owner only, as the file beside it. The BOM tells spreadsheets that it is UTF-8.
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        file = os.fdopen(handle, "w", encoding="utf-8-sig", newline="")
        csv.writer(file).writerow(("line", "field", "reason", "remedy"))
        return file
