"""Structured logs on stderr: a constant event name plus fields, never personal data."""

import logging
import sys
import traceback
from typing import Any

import orjson
import structlog


def configure(level: str, *, as_json: bool) -> None:
    """Set up structlog, and send what libraries say through the standard library the same way.

    Our own lines go straight to the stream: by way of the standard library they took a seventh of a read call.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(without_values),
    ]
    # Plain tracebacks on the console: the pretty ones print local variables, and those hold personal data.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_json) if as_json else console],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer)
        if as_json
        else structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
    )
    handler = logging.StreamHandler(sys.stderr)
    renderer = structlog.processors.JSONRenderer(serializer=lambda *given, **how: _json(*given, **how).decode())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=renderer if as_json else console, foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Access lines would carry tokens from query strings; our own request log replaces them.
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("httpx", "httpcore", "arq"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _json(entry: Any, **_: Any) -> bytes:
    return orjson.dumps(entry, default=str)


def without_values(exc_info: Any) -> str:
    """The traceback without the errors' own words: what a database or a validator says of one repeats the values."""
    found: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(found) < 10:
        facts = (getattr(error, name, None) for name in ("sqlstate", "table_name", "constraint_name"))
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        said = " ".join([kind, *(fact for fact in facts if isinstance(fact, str))])
        found.append("".join(traceback.format_tb(error.__traceback__)) + said)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nThe cause:\n".join(found)
