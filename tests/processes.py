"""`serve` and `worker` as an operator starts them, in processes of their own."""

import asyncio
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
            for _ in range(600):
                try:
                    if (await http.get("/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield base_url
    finally:
        for process in processes:
            process.terminate()
        codes = [await asyncio.wait_for(process.wait(), 15) for process in processes]
    # uvicorn finishes its requests and then ends by the signal that it was sent.
    assert codes == [-signal.SIGTERM, 0]
