"""A receiver, and a shop with customers, a template and a subscription."""

from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.webhooks.lanes import Deliverer
from tests.conftest import Api
from tests.webhooks.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that says 200."""
    async with receiving() as running:
        yield running


@pytest.fixture
async def other_receiver() -> AsyncIterator[Receiver]:
    """Another one."""
    async with receiving() as running:
        yield running


@pytest.fixture
def subscribe(api: Api) -> Callable[..., Awaitable[dict[str, Any]]]:
    """`await subscribe(receiver, "tier.changed")`: the endpoint with its secret."""

    async def make(receiver: Receiver, *kinds: str) -> dict[str, Any]:
        answer = await api.post("/v1/webhooks", {"url": receiver.url, "kinds": list(kinds) or ["touch.requested"]})
        assert answer.status_code == 201, answer.text
        return answer.json()  # type: ignore[no-any-return]

    return make


@pytest.fixture
def people(api: Api) -> Callable[..., Awaitable[list[int]]]:
    """`await people(3)`: customers who consented to marketing by webhook, without events left over."""

    async def make(count: int, *, first: int = 1, consent: bool = True) -> list[int]:
        batch = [
            {"identities": [{"kind": "mobile", "value": f"139{number:08d}"}]} for number in range(first, first + count)
        ]
        answer = await api.post("/v1/customers/batch", {"customers": batch})
        ids = [row["customer_id"] for row in answer.json()["results"]]
        if consent:
            for customer_id in ids:
                said = {"customer_id": customer_id, "channel": "webhook", "state": "granted", "source": "a till"}
                assert (await api.post("/v1/consents", said)).status_code == 201
        return ids

    return make


@pytest.fixture
def trigger(api: Api) -> Callable[..., Awaitable[dict[str, Any]]]:
    """`await trigger([ids])`: touches asked for, not yet planned."""

    async def ask(
        customer_ids: list[int],
        *,
        key: str = "spring",
        category: str = "marketing",
        variables: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        template = {"category": category, "body": "Hello {name}, {{5 off}}"}
        put = await api.http.put("/v1/templates/hello", json=template)
        assert put.status_code == 200, put.text
        answer = await api.post(
            "/v1/triggers/touches",
            {
                "template": "hello",
                "variables": variables or {"name": "you"},
                "audience": {"customer_ids": customer_ids},
            },
            headers={"Idempotency-Key": key},
        )
        assert answer.status_code == 202, answer.text
        return answer.json()  # type: ignore[no-any-return]

    return ask


@pytest.fixture
async def make_deliverer(entry: Entry, shop: Shop, api: Api) -> AsyncIterator[Callable[..., Deliverer]]:
    """A deliverer of one's own, impatient unless told otherwise."""
    made: list[Deliverer] = []

    def make(**options: Any) -> Deliverer:
        options = {"timeout_seconds": 1.0, "lease_seconds": 1.0} | options
        made.append(Deliverer(entry, allow_networks=[ip_network("127.0.0.0/8")], **options))
        return made[-1]

    yield make
    for deliverer in made:
        await deliverer.close()
