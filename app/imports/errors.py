"""Refusals about imports; a bad row is a `RowError` instead and ends nothing."""

from app.core.errors import Conflict, NotFound


class ImportNotFound(NotFound):
    """There is no such import."""

    code, title = "import_not_found", "There is no such import in this shop"


class ImportEnded(Conflict):
    """The import was cancelled while its file was on the way."""

    code, title = "import_ended", "This import has ended; start another"


class ImportRefused(Exception):
    """The import cannot go on. The message is one line, fit for a terminal."""


class FileRefused(ImportRefused):
    """The file cannot be read, or its header does not say what it must."""


class ServerRefused(ImportRefused):
    """The server cannot be reached or refuses the call; what was accepted so far stays, and a rerun is safe."""
