"""/v1/templates, /v1/triggers/touches and the list of touches."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Response

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.access.idempotency import KeyReused
from app.changes import jobs
from app.core import clock
from app.core.errors import Forbidden, Unauthorized, Unprocessable
from app.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.touches import messages, repository, service
from app.touches.errors import RequestNotFound, TemplateNotFound
from app.touches.schemas import (
    TemplatePage,
    TemplateRead,
    TemplateWrite,
    TouchPage,
    TouchRead,
    TouchRequestAccepted,
    TouchRequestRead,
    TouchRequestWrite,
    TouchState,
)

router = APIRouter(prefix="/v1", tags=["touches"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))

Code = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[ -~]{1,128}$",
        description="1 to 128 printable ASCII characters; it seeds the touch ids, so nobody is reached twice under one",
    ),
]
_FIRST = UUID(int=0)


@router.put("/templates/{code}")
async def put_template(call: Annotated[Call, door("admin")], code: Code, body: TemplateWrite) -> TemplateRead:
    """Add a template, or replace it. Requests made before keep the message they were made with."""
    return _template(await repository.put_template(call.db, call.shop.id, code, body.model_dump(), clock.now()))


@router.get("/templates")
async def list_templates(
    call: Annotated[Call, door("admin")], limit: Limit = 50, cursor: Cursor = None
) -> TemplatePage:
    """Templates in the order of their codes."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await call.db.fetch(
        repository.LIST_TEMPLATES, shop_id=call.shop.id, after=after.replace("\0", ""), limit=limit
    )
    more = encode_cursor(rows[-1]["code"]) if len(rows) == limit else None
    return TemplatePage(items=[_template(row) for row in rows], next_cursor=more)


@router.get("/templates/{code}", responses=problems(TemplateNotFound))
async def get_template(call: Annotated[Call, door("admin")], code: Code) -> TemplateRead:
    """One template."""
    row = await repository.get_template(call.db, call.shop.id, code)
    if row is None:
        raise TemplateNotFound(field="code")
    return _template(row)


@router.post(
    "/triggers/touches",
    status_code=202,
    responses=problems(TemplateNotFound, KeyReused)
    | {200: {"description": "Asked for before, with this key", "model": TouchRequestAccepted}},
)
async def request_touches(
    call: Annotated[Call, door("triggers")],
    body: TouchRequestWrite,
    idempotency_key: IdempotencyKey,
    response: Response,
) -> TouchRequestAccepted:
    """Reach an audience with a template. Touches are planned and sent by the worker, each once per key and customer."""
    request, new = await service.request(call.db, call.shop.id, idempotency_key, body)
    response.status_code = 202 if new else 200
    return TouchRequestAccepted(**_accepted(request))


@router.get("/triggers/touches/{request_id}", responses=problems(RequestNotFound))
async def get_touch_request(call: Annotated[Call, door("triggers")], request_id: UUID) -> TouchRequestRead:
    """A request, how far its planning is, and its touches by state."""
    request = await repository.get_request(call.db, call.shop.id, request_id)
    if request is None:
        raise RequestNotFound(field="request_id")
    job = await jobs.get_job(call.db, call.shop.id, request["job_id"])
    return TouchRequestRead(
        **_accepted(request),
        category=request["category"],
        planning=job.state,
        planned=job.done,
        touches=await repository.counts(call.db, call.shop.id, request_id),
    )


@router.get("/touches")
async def list_touches(
    call: Annotated[Call, door("triggers")],
    request_id: UUID | None = None,
    state: TouchState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> TouchPage:
    """Touches in the order of their ids, of one request or of all."""
    after = _position(cursor) if cursor else _FIRST
    rows = await repository.list_touches(
        call.db, call.shop.id, request_id=request_id, state=state, after=after, limit=limit
    )
    return TouchPage(
        items=[TouchRead(**row) for row in rows],
        next_cursor=encode_cursor(str(rows[-1]["id"])) if len(rows) == limit else None,
    )


def _template(row: Any) -> TemplateRead:
    return TemplateRead(**row, variables=sorted(messages.names(row["body"])))


def _accepted(request: Any) -> dict[str, Any]:
    skipped = request["audience"]["skipped"]
    return {
        "request_id": request["id"],
        "job_id": request["job_id"],
        "template": request["template_code"],
        "created_at": request["created_at"],
        "skipped": len(skipped),
        "skipped_customer_ids": skipped,
    }


def _position(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, str)[0])
    except ValueError:
        raise Unprocessable("Send back `next_cursor` exactly as it was given", field="cursor") from None
