"""A file of new customers through POST /v1/imports and one worker, beside one bare statement over arrays."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks import client, population, stage
from benchmarks.batch import ROWS, batches, new_customers
from benchmarks.facade import side
from benchmarks.measure import Figure, Plan, Sample, Side, peak_memory_mb, ratio_figure
from benchmarks.stage import Stage, Tenant

_HEADER: Final = "mobile,card_no,name,gender,birthday,store_id,source_channel,member_since,created_at\n"
_PIECE: Final = 256 * 1024


def run(plan: Plan) -> list[Figure]:
    """Customers taken in a second, upload included, as a share of the bare ones; and what the processes held."""
    rows = plan.population(30_000, 200_000)
    with stage.up(plan) as place:
        ours, bare = place.run(lambda: _prepare(place))
        service_port, bare_port = place.serve(), place.serve_bare(bare.shop.id)
        place.work()
        numbers = itertools.count()
        people = new_customers(numbers)
        make = batches("/customers/batch", "customers", people, bare)
        crowd, alone = (
            side(place, "bare", bare_port, make, b'"created":1000,', work=ROWS, connections=count)
            for count in (client.CONNECTIONS, 1)
        )

        async def by_hand(plain: Side) -> Sample:
            """The bare side asks for refreshes too; the worker must not do them in our time."""
            os.kill(place.pid("worker"), signal.SIGSTOP)
            try:
                sample = await plain(plan.seconds / 2)
                async with place.owner() as owner:
                    for table in ("customer_changes", "domain_events"):
                        await owner.execute(f"delete from {table} where shop_id = $1", bare.shop.id)  # noqa: S608 ours
                return sample
            finally:
                os.kill(place.pid("worker"), signal.SIGCONT)

        async def rounds() -> list[tuple[Sample, Sample, Sample]]:
            await by_hand(crowd)
            taken = []
            for _ in range(1 if rows > 500_000 else 2 if plan.quick else 3):
                before = await by_hand(crowd)
                real = await _import(place, ours, service_port, people, rows)
                taken.append((real, before, await by_hand(alone)))
            return taken

        taken = place.run(rounds)
        figures = [
            ratio_figure("import: customers", [(real, many) for real, many, _ in taken], 0.5, "customers"),
            ratio_figure("import: beside one bare writer", [(real, one) for real, _, one in taken], 0.5, "customers"),
        ]
        for name in ("service", "worker"):
            memory = peak_memory_mb(place.pid(name))
            detail = f"files of {rows:,} rows"
            figures.append(
                Figure(f"import: {name}'s peak memory", [memory], "MB", 300, higher_is_better=False, detail=detail)
            )
        return figures


async def _prepare(place: Stage) -> tuple[Tenant, Tenant]:
    ours, bare = await place.open_shop("service"), await place.open_shop("bare")
    await population.settle(place)
    return ours, bare


async def _import(place: Stage, tenant: Tenant, port: int, people: Iterator[dict[str, Any]], rows: int) -> Sample:
    """One file, from the first byte of the upload to the end of the import; then the refresh catches up, unmeasured."""
    path = place.directory / "customers.csv"
    _write(path, itertools.islice(people, rows))
    before = _cpu(place)
    begun = time.perf_counter()
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    async with httpx.AsyncClient(base_url=f"http://{client.HOST}:{port}", headers=headers, timeout=60) as http:
        answer = await http.post("/v1/imports", params={"kind": "customers"}, content=_pieces(path))
        told = answer.json()
        while told.get("state") in ("queued", "running"):
            await asyncio.sleep(0.1)
            told = (await http.get(f"/v1/imports/{told['id']}")).json()
    seconds, after = time.perf_counter() - begun, _cpu(place)
    path.unlink()
    if (told.get("state"), told.get("created")) != ("done", rows):
        raise client.WrongAnswer(f"the import ended as {told}\n{place.tail('worker')}")
    async with place.owner() as owner:
        left = "select exists (select from customer_changes) or exists (select from domain_events)"
        while await owner.fetchval(left):  # noqa: ASYNC110 another process does the work
            await asyncio.sleep(0.2)
        await owner.execute("checkpoint")
    return Sample(rows, seconds, {name: after[name] - before[name] for name in after})


def _cpu(place: Stage) -> dict[str, float]:
    return place.cpu("service") | place.cpu("worker")


def _write(path: Path, people: Iterator[dict[str, Any]]) -> None:
    with path.open("w") as file:
        file.write(_HEADER)
        for one in people:
            mobile, card = (identity["value"] for identity in one["identities"])
            cells = (mobile, card, one["name"], one["gender"], one["birthday"], one["store_id"])
            more = (one["source_channel"], one["member_since"], one["created_at"])
            file.write(",".join(map(str, (*cells, *more))) + "\n")


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
