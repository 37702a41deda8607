"""Refusals that a caller can act on; `problems` renders them, services raise them."""

from typing import Any, ClassVar


class Refusal(Exception):
    """A caller is told no; whoever audits asks only for the code."""

    code: Any = "refused"


class AppError(Refusal):
    """Base of every /v1 refusal: a status, a stable code, a title that never changes, a detail that may."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str | None = None, *, field: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.field = field
        self.extra = extra


class BadRequest(AppError):
    """The request cannot be read."""

    status, code, title = 400, "bad_request", "The request cannot be read"


class Unauthorized(AppError):
    """No credential, or one that is not live."""

    status, code, title = 401, "unauthorized", "Send a live access token or API key as: Authorization: Bearer …"


class Forbidden(AppError):
    """The credential is live and may not do this."""

    status, code, title = 403, "forbidden", "The credential may not do this"


class NotFound(AppError):
    """Not there, or not yours: the answer is the same."""

    status, code, title = 404, "not_found", "There is no such thing in this shop"


class Conflict(AppError):
    """The state of things forbids it."""

    status, code, title = 409, "conflict", "The present state forbids this"


class TooLarge(AppError):
    """The body is over the limit."""

    status, code, title = 413, "body_too_large", "The body is larger than this service accepts"


class Unprocessable(AppError):
    """The body parses and a value in it does not."""

    status, code, title = 422, "invalid", "A value in the request is not acceptable"


class TooMany(AppError):
    """A limit was reached; `retry_after` says in how many seconds to come back."""

    status, code, title = 429, "rate_limited", "Too many requests; slow down"

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = max(1, round(retry_after))


class DatabaseUnavailable(AppError):
    """Postgres cannot be reached; nothing was acknowledged."""

    status, code, title = 503, "database_unavailable", "The database cannot be reached; try again shortly"


class StartOver(Exception):
    """A race was lost in a way that only a new transaction can see; the edge runs the whole step again."""
