"""Every refusal on /v1 leaves as an RFC 9457 problem document with a stable code."""

from collections.abc import Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.core.errors import AppError, BadRequest, DatabaseUnavailable, TooMany
from app.core.races import RETRIABLE

log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    """One value that is not acceptable, and why."""

    field: str
    message: str


class Problem(BaseModel):
    """application/problem+json."""

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="Stable; switch on this")
    detail: str | None = None
    field: str | None = None
    errors: list[FieldProblem] | None = None


def problems(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` for a route, from the refusals that it can raise."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = found.setdefault(
            error.status, {"description": "", "content": {"application/problem+json": {"schema": _REF}}}
        )
        entry["description"] = "; ".join(filter(None, (entry["description"], f"`{error.code}`: {error.title}")))
    return found


_MOST = 100  # of a hundred thousand refusals, nobody reads the rest
_REF = {"$ref": "#/components/schemas/Problem"}


def problem_response(error: AppError) -> Response:
    """The document of one refusal."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail or error.title,
    }
    if error.field:
        body["field"] = error.field
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, DatabaseUnavailable):
        headers["Retry-After"] = "2"
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _document(body | error.extra, headers)


def field_problems(errors: Sequence[Any]) -> list[dict[str, str]]:
    """pydantic's errors as field and message; the refused value itself is never repeated."""
    found = []
    for error in errors[:_MOST]:
        location = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header")]
        found.append({"field": ".".join(location) or "body", "message": error["msg"].removeprefix("Value error, ")})
    return found


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(AppError)
    async def _refusal(request: Request, error: AppError) -> Response:
        log.info("request_refused", code=error.code, status=error.status)
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return invalid_response(error.errors())

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        body = {"type": "about:blank", "title": str(error.detail), "status": error.status_code, "code": code}
        return _document(body | {"detail": str(error.detail)}, dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, error: ClientDisconnect) -> Response:
        return problem_response(BadRequest("The connection was closed before the body was complete"))

    async def _busy(request: Request, error: Exception) -> Response:
        log.warning("race_lost_every_time", error=type(error).__name__)
        busy = DatabaseUnavailable("Too many writers met on the same rows; try again shortly")
        return problem_response(busy)

    for retriable in RETRIABLE:
        app.add_exception_handler(retriable, _busy)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        log.exception("request_failed", error=type(error).__name__)
        return problem_response(AppError("The request was not carried out; the incident is logged under request_id"))


def invalid_response(errors: Sequence[Any]) -> Response:
    """422 with one entry per field."""
    entries = field_problems(errors)
    body = {
        "type": "about:blank",
        "title": "A value in the request is not acceptable",
        "status": 422,
        "code": "invalid",
        "detail": f"{entries[0]['field']}: {entries[0]['message']}",
        "field": entries[0]["field"],
        "errors": entries,
    }
    return _document(body, {})


def _document(body: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(body), body["status"], headers, "application/problem+json")
