"""A shop that takes pushes, and Youzan at the other end."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from app.access.shops import Shop
from tests.conftest import Api, Rows
from tests.push.listener import ACK
from tests.push.sender import Sender
from tests.webhooks.receiver import Receiver, receiving

MakeSender = Callable[..., Awaitable[Sender]]


@pytest.fixture
async def outside(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A caller without any credential."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kehu.test") as http:
        yield http


@pytest.fixture
def make_sender(outside: httpx.AsyncClient) -> MakeSender:
    """`await make_sender(api, shop)`: an app that the shop takes messages from."""

    async def make(api: Api, shop: Shop) -> Sender:
        sender = Sender(outside, shop.id)
        told = {"client_id": sender.client_id, "client_secret": sender.secret}
        answer = await api.post("/v1/push-sources", told)
        assert answer.status_code == 201, answer.text
        return sender

    return make


@pytest.fixture
async def sender(make_sender: MakeSender, api: Api, shop: Shop) -> Sender:
    """The test shop's."""
    return await make_sender(api, shop)


@pytest.fixture
def kept(rows: Rows, shop: Shop) -> Callable[[], Awaitable[list[dict[str, object]]]]:
    """The shop's messages as they are stored, oldest first."""

    async def look() -> list[dict[str, object]]:
        return await rows("select * from push_messages where shop_id = $1 order by received_at, id", shop.id)

    return look


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """One that acknowledges."""
    async with receiving() as running:
        running.answer = lambda _: ACK
        yield running
