"""`serve` and `worker` as an operator starts them, in processes of their own."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.core.config import Settings


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    """What a process of the house is told, with the tests' servers; loopback may be called."""
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "KEHU_ROOT_KEY": settings.root_key.get_secret_value(),
        "KEHU_OUTBOUND_ALLOW_NETWORKS": "127.0.0.0/8",
        "KEHU_LOG_LEVEL": "WARNING",
        **changes,
    }


@asynccontextmanager
async def running(settings: Settings, queue: str) -> AsyncIterator[str]:
    """The base URL of a service with a worker, whose bell has this name; both must stop without a complaint."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    told = environment(settings, KEHU_WORKER_QUEUE=f"{settings.worker_queue}:{queue}")
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "app", *command, env=told)
        for command in (("serve", "--port", str(port)), ("worker",))
    ]
    base_url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=base_url) as http:
            await _until_ready(http)
        yield base_url
    finally:
        for process in processes:
            process.terminate()
        try:
            async with asyncio.timeout(15):
                codes = [await process.wait() for process in processes]
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
    # uvicorn finishes its requests and then ends by the signal that it was sent.
    assert codes == [-signal.SIGTERM, 0]


async def _until_ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
