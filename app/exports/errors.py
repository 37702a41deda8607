"""Refusals about exports."""

from app.core.errors import AppError, Conflict, NotFound


class ExportNotFound(NotFound):
    """Not there, or another shop's."""

    code, title = "export_not_found", "There is no such export in this shop"


class ExportNotReady(Conflict):
    """Its content is still being written, or never was."""

    code, title = "export_not_ready", "The export is not done; its state is at GET /v1/exports/{export_id}"


class ExportsWaiting(Conflict):
    """Enough is asked for."""

    code, title = "exports_waiting", "Too many exports of this shop are unfinished; wait for one, or cancel one"


class ExportGone(AppError):
    """It was there."""

    status, code, title = 410, "export_gone", "The content was removed, as it is after some days; ask for a new export"


class RangeBeyondContent(AppError):
    """Asked for bytes behind the last."""

    status, code, title = 416, "range_beyond_content", "The content is shorter than that"
