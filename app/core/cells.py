"""Text that a spreadsheet may open without running it."""

from typing import Final

# A spreadsheet runs a cell that starts with one of these; the last four are their full-width twins.
_FORMULA_STARTS: Final = tuple("=+-@|%\t\r\n＝＋－＠")


def harmless(cell: str) -> str:
    """The cell, with an apostrophe before it when a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell
