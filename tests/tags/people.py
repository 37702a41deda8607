"""Customers and tags for the tests of the tags room."""

from typing import Any

from tests.conftest import Api

Json = dict[str, Any]


async def customers(api: Api, count: int) -> list[int]:
    """So many customers."""
    body = {"customers": [{"identities": [{"kind": "card_no", "value": f"C{n}"}]} for n in range(count)]}
    answer = await api.post("/v1/customers/batch", body)
    return [row["customer_id"] for row in answer.json()["results"]]


async def tag(api: Api, name: str, **more: Any) -> int:
    """Make a tag. Returns its number."""
    answer = await api.post("/v1/tags", {"name": name} | more)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def give(api: Api, tag_id: int, customer_ids: list[int], **more: Any) -> list[str]:
    """Put a tag on customers. Returns what became of each."""
    answer = await api.post(f"/v1/tags/{tag_id}/customers", {"customer_ids": customer_ids} | more)
    assert answer.status_code == 200, answer.text
    return [row["status"] for row in answer.json()["results"]]


async def pages(api: Api, path: str, **asked: Any) -> list[Json]:
    """All rows of a list, page by page."""
    found: list[Json] = []
    while True:
        answer = await api.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found
        asked["cursor"] = answer.json()["next_cursor"]
