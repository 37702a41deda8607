"""Fills the demo shop through the public calls, as any till would; everything may be sent again."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import httpx

from app.demo.brand import Brand, generate
from app.imports import client

SEED: Final = 20_260
BATCH: Final = 500
_CONCURRENT: Final = 16  # commits that wait for the disk together wait once
_PAUSE_SECONDS: Final = 0.2
_CONSENTING: Final = 3  # every n-th member has not agreed to marketing

TEMPLATE: Final = "come-back"
_TEMPLATE: Final = {
    "channel": "webhook",
    "category": "marketing",
    "body": "我们想念您!凭此消息到店可享{discount}折,有效期至{until}。拒收请回复R",
}
_KINDS: Final = ["touch.requested", "tier.changed"]

Update = Callable[..., None]


class LoadRefused(Exception):
    """The service refused what the demo sends: a bug of ours, shown as it is."""


def file(path: Path, update: Update, work: Callable[[], None], *, base_url: str, api_key: str) -> None:
    """Import a file of orders. `work` does a worker's part of it, and comes back at once when there is none."""

    async def go() -> None:
        def show(told: dict[str, Any]) -> None:
            update(told["rows"], None, f"{told['refused']} refused" if told["refused"] else "")

        following = asyncio.create_task(
            client.import_file("orders", path, base_url=base_url, api_key=api_key, on_progress=show)
        )
        while not following.done():
            await asyncio.to_thread(work)
            await asyncio.sleep(_PAUSE_SECONDS)
        await following

    asyncio.run(go())


def brand(progress: Callable[[str], AbstractContextManager[Any]], *, base_url: str, api_key: str) -> None:
    """The invented beauty chain: stores, members, three years of orders, a year of events, refunds and consents."""
    chain = generate(SEED, datetime.now(UTC).date())
    with httpx.Client(
        base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60, trust_env=False
    ) as http:
        for store in chain.stores:
            _ok(http.put(f"/v1/stores/{store.store_id}", json={"name": store.name, "city": store.city}))
        members: list[int] = []
        with progress("members") as update:
            for batch in _batches(chain.customers):
                results = _rows(http.post("/v1/customers/batch", json={"customers": batch}))
                members += [row["customer_id"] for row in results]
                update(len(members), len(chain.customers))
        with progress("orders") as update:
            sent = 0
            for batch in _batches(chain.orders):
                _rows(http.post("/v1/orders/batch", json={"orders": batch}))
                sent += len(batch)
                update(sent, len(chain.orders))
        with progress("events") as update:
            sent = 0
            for batch in _batches(chain.events):
                _kept(http.post("/v1/events/batch", json={"events": batch}))
                sent += len(batch)
                update(sent, len(chain.events))
    with progress("refunds, consents") as update:
        asyncio.run(_singles(chain, members, update, base_url, api_key))


def sandbox(base_url: str, api_key: str, shop_id: int) -> None:
    """A template, and an endpoint at the demo's own inbox, moved along when the demo runs on another port."""
    inbox = f"/sandbox/inbox/{shop_id}"
    with httpx.Client(
        base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=30, trust_env=False
    ) as http:
        _ok(http.put(f"/v1/templates/{TEMPLATE}", json=_TEMPLATE))
        endpoints = _ok(http.get("/v1/webhooks")).json()["items"]
        ours = next((endpoint for endpoint in endpoints if endpoint["url"].endswith(inbox)), None)
        if ours is None:
            _ok(http.post("/v1/webhooks", json={"url": base_url + inbox, "kinds": _KINDS}))
        elif ours["url"] != base_url + inbox:
            _ok(http.patch(f"/v1/webhooks/{ours['id']}", json={"url": base_url + inbox}))


def score(base_url: str, api_key: str, update: Update, look_after: Callable[[], None]) -> None:
    """Start a full run and wait until it is done."""
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=base_url, headers=headers, timeout=30, trust_env=False) as http:
        job_id = _ok(http.post("/v1/triggers/rescore", json={})).json()["job_id"]
        while (job := _ok(http.get(f"/v1/jobs/{job_id}")).json())["state"] in ("queued", "running"):
            update(job["done"], job["total"])
            look_after()
            time.sleep(0.1)
        update(job["done"], job["total"])
        if job["state"] != "done":
            raise LoadRefused(f"the scoring run ended as {job['state']}: {job['error']}")


def segments(base_url: str, api_key: str, update: Update, look_after: Callable[[], None]) -> None:
    """The ready-made segments that need no declaration, built."""
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=base_url, headers=headers, timeout=30, trust_env=False) as http:
        ready = [one for one in _ok(http.get("/v1/segments/ready-made")).json() if not one["needs"]]
        waiting: list[str] = []
        for one in ready:
            body = {"name": one["title_zh"], "ready_made": one["slug"], "folder": "现成人群"}
            answer = http.post("/v1/segments", json=body)
            if answer.status_code != httpx.codes.CONFLICT:  # a start before this one was cut off
                waiting.append(_ok(answer).json()["job_id"])
        for done, job_id in enumerate(waiting):
            update(done, len(waiting))
            while _ok(http.get(f"/v1/jobs/{job_id}")).json()["state"] in ("queued", "running"):
                look_after()
                time.sleep(0.1)
        update(len(waiting), len(waiting))


async def _singles(chain: Brand, members: Sequence[int], update: Update, base_url: str, api_key: str) -> None:
    """What has no batch call, a few at a time."""
    consents = [
        ("/v1/consents", {"customer_id": member, "channel": "*", "state": "granted", "source": "demo till"})
        for number, member in enumerate(members)
        if number % _CONSENTING
    ]
    calls = [("/v1/refunds", refund) for refund in chain.refunds] + consents
    queue = iter(calls)
    done = 0
    async with httpx.AsyncClient(
        base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60, trust_env=False
    ) as http:

        async def sender() -> None:
            nonlocal done
            for path, body in queue:
                _ok(await http.post(path, json=body))
                done += 1
                update(done, len(calls))

        await asyncio.gather(*(sender() for _ in range(_CONCURRENT)))


def _batches(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _rows(response: httpx.Response) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = _ok(response).json()["results"]
    if refused := [row for row in results if row["status"] == "refused"]:
        raise LoadRefused(f"{len(refused)} rows refused, the first: {refused[0]['error']}")
    return results


def _kept(response: httpx.Response) -> None:
    counts = _ok(response).json()
    if counts["invalid"] or counts["refused"]:
        raise LoadRefused(f"{counts['invalid'] + counts['refused']} events were not kept")


def _ok(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise LoadRefused(f"{response.request.url.path} answered {response.status_code}: {response.text[:300]}")
    return response
