"""Refusals that end a whole import; a bad row is a `RowError` instead and ends nothing."""


class ImportRefused(Exception):
    """The import cannot go on. The message is one line, fit for a terminal."""


class FileRefused(ImportRefused):
    """The file cannot be read, or its header does not say what it must."""


class ServerRefused(ImportRefused):
    """The server cannot be reached or refuses the call; what was accepted so far stays, and a rerun is safe."""
