"""/sandbox: an endpoint that receives webhooks as a customer's system would, and a page that shows them."""

import time
from ipaddress import ip_address
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from app.access.entry import Entry
from app.core import clock
from app.core.errors import NotFound
from app.sandbox import page, repository
from app.webhooks import service
from app.webhooks.errors import SignatureRefused
from app.webhooks.signing import BadSignature, verify

router = APIRouter(prefix="/sandbox", tags=["sandbox"], include_in_schema=False)

_SHOWN: Final = 100


@router.post("/inbox/{shop_id}")
async def receive(request: Request, shop_id: Annotated[int, Path(ge=1, lt=2**53)]) -> Response:
    """Take a message that is signed for an endpoint with this path. The same message id twice is one message."""
    entry: Entry = request.app.state.entry
    body = await request.body()
    moment = clock.now()
    async with entry.shop(shop_id) as (db, shop):
        endpoints = await db.fetch(repository.ENDPOINTS, shop_id=shop_id)
        here = [endpoint for endpoint in endpoints if endpoint["url"].endswith(request.url.path)]
        secrets = [secret for endpoint in here for secret in service.secrets(shop, endpoint, moment)]
        try:
            verify(secrets, request.headers, body, time.time())
            kind = orjson.loads(body)["type"]
        except (BadSignature, ValueError, KeyError, TypeError):
            raise SignatureRefused from None
        await db.execute(
            repository.STORE,
            shop_id=shop_id,
            message_id=request.headers["webhook-id"],
            kind=str(kind).replace("\0", ""),
            body=body.decode(),
            received_at=moment,
        )
    return Response(status_code=204)


@router.get("")
async def show(request: Request) -> HTMLResponse:
    """The newest messages of all shops, for a browser on this machine."""
    if not _from_here(request):
        raise NotFound
    entry: Entry = request.app.state.entry
    messages = []
    for shop_id in await entry.shops.ids():
        async with entry.database.transaction(shop_id) as db:
            messages += await db.fetch(repository.NEWEST, shop_id=shop_id, limit=_SHOWN)
    messages.sort(key=lambda message: message["received_at"], reverse=True)
    return HTMLResponse(page.render(messages[:_SHOWN]), headers=page.HEADERS)


def _from_here(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
