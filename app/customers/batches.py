"""Batches whose rows stand alone: which of them can be read, and what became of each."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson
from fastapi import Response
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.core.errors import AppError
from app.core.problems import field_problems
from app.customers.service import REFUSED, Outcome

M = TypeVar("M", bound=BaseModel)

_TOO_MANY: Final = 1000  # listing a row's faults takes longer than finding them


class RowError(BaseModel):
    """Why a row was refused."""

    code: str
    detail: str
    field: str | None = None


class RowResult(BaseModel):
    """What became of one row: created, updated, unchanged or refused."""

    index: int
    status: str
    customer_id: int | None = None
    merge_conflicts: list[UUID] = []
    error: RowError | None = None


class BatchResult(BaseModel):
    """What became of each row, in the order they were sent."""

    results: list[RowResult]
    created: int
    updated: int
    unchanged: int
    refused: int


def valid_rows(
    many: TypeAdapter[list[M]], one: TypeAdapter[M], rows: Sequence[Any], context: Any = None
) -> tuple[list[tuple[int, M]], dict[int, RowError]]:
    """The rows that validate with their places, and why the others do not. `context`: for the model's validators."""
    try:
        return list(enumerate(many.validate_python(rows, context=context))), {}
    except ValidationError:
        pass  # find out which: the usual batch is all good and never comes here
    good: list[tuple[int, M]] = []
    bad: dict[int, RowError] = {}
    for index, row in enumerate(rows):
        try:
            good.append((index, one.validate_python(row)))
        except ValidationError as error:
            if error.error_count() > _TOO_MANY:
                bad[index] = RowError(code="invalid", detail=f"{error.error_count()} values are not acceptable")
                continue
            first = field_problems(error.errors(include_input=False, include_url=False, include_context=False))[0]
            bad[index] = RowError(code="invalid", detail=first["message"], field=first["field"])
    return good, bad


def batch_response(count: int, places: list[int], outcomes: list[Outcome], refused: dict[int, RowError]) -> Response:
    """The answer of a batch: a result per row in the order sent, and the counts."""
    # Plain dicts in the shape of BatchResult: a model for each row costs as much as writing it.
    results: list[dict[str, Any]] = [{}] * count
    for place, error in refused.items():
        results[place] = {
            "index": place,
            "status": REFUSED,
            "customer_id": None,
            "merge_conflicts": (),
            "error": error,
        }
    for place, outcome in zip(places, outcomes, strict=True):
        results[place] = {
            "index": place,
            "status": outcome.status,
            "customer_id": outcome.customer_id,
            "merge_conflicts": outcome.conflicts,
            "error": row_error(outcome.error) if outcome.error else None,
        }
    counts = Counter(result["status"] for result in results)
    body = {"results": results} | {status: counts[status] for status in ("created", "updated", "unchanged", "refused")}
    return Response(orjson.dumps(body, default=BaseModel.model_dump), 200, media_type="application/json")


def row_error(error: AppError) -> RowError:
    """A refusal as one row's reason."""
    return RowError(code=error.code, detail=error.detail or error.title, field=error.field)
