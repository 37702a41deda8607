"""Refusals about what is used."""

from app.core.errors import Conflict


class StillUsed(Conflict):
    """Something names it; `used_by` lists up to twenty of them with kind, id and name."""

    code, title = "still_used", "Something still uses it"
