"""Structured logs on stderr: a constant event name plus fields, never personal data."""

import logging
import sys
import traceback
from typing import Any

import orjson
import structlog


def configure(level: str, *, as_json: bool) -> None:
    """Set up structlog and route the standard library's loggers through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(without_values),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value, default=str).decode())
        if as_json
        # Plain tracebacks: the pretty ones print local variables, and those hold personal data.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Access lines would carry tokens from query strings; our own request log replaces them.
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("httpx", "httpcore", "arq"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


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
