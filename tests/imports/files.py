"""Files for tests: opened as the worker opens them, and imported by the client while a worker works."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from app.imports import client
from app.imports.asked import Asked
from app.imports.client import ImportResult
from app.imports.csv_source import CsvFile, read_csv
from app.imports.header import Layout
from app.imports.scratch import scratch
from tests.conftest import Api

SHANGHAI = ZoneInfo("Asia/Shanghai")


@contextmanager
def opened(path: Path, layout: Layout) -> Iterator[CsvFile]:
    """A file with its header read."""
    with path.open("rb") as file:
        yield read_csv(file, layout)


@contextmanager
def asked(source: str, zone: ZoneInfo = SHANGHAI) -> Iterator[Asked]:
    """What an import is asked to do, with an empty memory."""
    with scratch() as memory:
        yield Asked(source, zone, "overwrite", "test", memory)


async def put_in(
    kind: str, path: Path, api: Api, address: str, work: Callable[[], Awaitable[None]], **options: Any
) -> ImportResult:
    """The file by way of the public calls, as `kehu import` does it."""
    following = asyncio.create_task(
        client.import_file(kind, path, base_url=address, api_key=api.client.api_key, **options)
    )
    while not following.done():
        await work()
        await asyncio.sleep(0.02)
    return following.result()
