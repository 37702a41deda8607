"""Contract 1.2 and 1.4 on a real socket: what the old PHP client and the Node SDK do below HTTP's surface."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
import uvicorn
from fastapi import FastAPI

from tests.youzan.conftest import CREATE, SEARCH, Facade


@pytest.fixture
async def port(app: FastAPI) -> AsyncIterator[int]:
    """A server on loopback."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 uvicorn offers no event
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


async def exchange(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Status line and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.splitlines()[0], body


async def test_1_4_http_1_0_with_a_form(facade: Facade, port: int) -> None:
    form = b"mobile=13800000000&customer_create=%7B%22name%22%3A%22a+b%22%7D"
    status, body = await exchange(
        port,
        f"POST /api/{CREATE}?access_token={facade.token} HTTP/1.0\r\n"
        f"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n".encode()
        + form,
    )
    assert status.endswith(b"200 OK")
    assert (await facade.detail(orjson.loads(body)["data"]["yz_open_id"]))["name"] == "a b"


async def test_1_2_chunked(facade: Facade, port: int) -> None:
    status, body = await exchange(
        port,
        f"POST /api/{CREATE}?access_token={facade.token} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        'a\r\n{"mobile":\r\ne\r\n"13800000000"}\r\n0\r\n\r\n'.encode(),
    )
    assert status.endswith(b"200 OK")
    assert orjson.loads(body)["success"] is True


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
async def test_1_2_other_methods(facade: Facade, port: int, method: str) -> None:
    status, body = await exchange(
        port,
        f"{method} /api/{SEARCH}?access_token={facade.token} HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: close\r\n\r\n".encode(),
    )
    assert status.endswith(b"200 OK")
    assert method == "HEAD" or orjson.loads(body)["gw_err_resp"]["err_code"] == 4007
