"""Many writers who link the same people at the same moment: nobody hears of a deadlock, and nobody is lost."""

import asyncio
import random
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from app.access.shops import Shop
from tests.conftest import Api, Rows

WRITERS = 32
FAMILY = 6  # identities of one person


def _families(identities: int, chance: random.Random) -> list[list[tuple[str, str]]]:
    """The links of each person: enough to join all their identities, and some more."""
    found = []
    for start in range(0, identities, FAMILY):
        cards = [f"L{number:07}" for number in range(start, min(start + FAMILY, identities))]
        tree = [(chance.choice(cards[:number]), card) for number, card in enumerate(cards) if number]
        links = tree + [(chance.choice(cards), chance.choice(cards)) for _ in range(len(cards) // 2)]
        chance.shuffle(links)
        found.append(links)
    return found


def _mixed(families: list[list[tuple[str, str]]], chance: random.Random) -> list[tuple[str, str]]:
    """Links in an order in which those of one person come close together, from many people at once."""
    mixed: list[tuple[str, str]] = []
    queue = iter(families)
    while several := list(islice(queue, WRITERS)):
        together = [link for links in several for link in links]
        chance.shuffle(together)
        mixed += together
    return mixed


@pytest.mark.parametrize(
    "identities",
    [600, pytest.param(200_000, id="long", marks=[pytest.mark.faults_long, pytest.mark.timeout(7200)])],
)
async def test_everyone_is_linked_with_exactly_their_own(
    api: Api, shop: Shop, rows: Rows, identities: int, chance: random.Random, figure: Callable[[str], None]
) -> None:
    policy = {"card_no": {"strength": 60, "limit": 1000, "merges": "always"}}
    settings = (await api.get("/v1/shop")).json()["settings"] | {"identity_policy": policy}
    assert (await api.http.put("/v1/shop/settings", json=settings)).status_code == 200
    families = _families(identities, chance)
    links = iter(_mixed(families, chance))
    answered: dict[int, int] = {}

    def customer(link: tuple[str, str]) -> dict[str, Any]:
        return {"identities": [{"kind": "card_no", "value": value} for value in link]}

    async def writer(number: int) -> None:
        while share := list(islice(links, 1 + number % 8)):
            if len(share) == 1:
                answer = await api.post("/v1/customers", customer(share[0]))
            else:
                answer = await api.post("/v1/customers/batch", {"customers": [customer(link) for link in share]})
                assert answer.status_code != 200 or answer.json()["refused"] == 0, answer.text
            answered[answer.status_code] = answered.get(answer.status_code, 0) + 1
            assert answer.status_code in (200, 201), answer.text

    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    owned = await rows("select customer_id, count(*) from identities where shop_id = $1 group by 1", shop.id)
    assert len(owned) == len(families)
    assert sum(row["count"] for row in owned) == identities
    by_value = {}
    for sample in range(0, len(families), max(1, len(families) // 300)):
        cards = sorted({card for link in families[sample] for card in link})
        found = set()
        for card in cards:
            body = {"identity": {"kind": "card_no", "value": card}}
            found.add((await api.post("/v1/customers/lookup", body)).json()["id"])
        assert len(found) == 1, (cards, found)
        by_value[sample] = found.pop()
    assert len(set(by_value.values())) == len(by_value)
    (state,) = await rows(
        """
        select count(*) filter (where c.merged_into is null) as people, count(*) as records,
               (select count(*) from merges where shop_id = $1 and reversed_at is null) as edges,
               count(*) filter (where w.merged_into is not null) as chains
        from customers c left join customers w on w.shop_id = c.shop_id and w.id = c.merged_into
        where c.shop_id = $1
        """,
        shop.id,
    )
    assert state["people"] == len(families)
    assert (state["edges"], state["chains"]) == (state["records"] - state["people"], 0)
    figure(f"{identities} identities in {len(families)} people by {WRITERS} writers, answers {answered}, {dict(state)}")
