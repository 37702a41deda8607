"""The ten names: both ways agree on all places, and every place has one name."""

from collections import Counter

import pytest

from app.scoring.grid import AREAS, grid_name, grid_sql
from tests.conftest import Rows

PUBLISHED = {
    "hibernating": {"11", "12", "21", "22"},
    "at_risk": {"13", "14", "23", "24"},
    "cant_lose": {"15", "25"},
    "about_to_sleep": {"31", "32"},
    "need_attention": {"33"},
    "loyal_customers": {"34", "35", "44", "45"},
    "promising": {"41"},
    "new_customers": {"51"},
    "potential_loyalists": {"42", "43", "52", "53"},
    "champions": {"54", "55"},
}


@pytest.mark.parametrize(("name", "places"), PUBLISHED.items())
def test_a_name_has_its_places(name: str, places: set[str]) -> None:
    assert {f"{r}{f}" for r in range(1, 6) for f in range(1, 6) if grid_name(r, f) == name} == places


def test_every_place_has_one_name() -> None:
    areas = Counter(
        (r, f)
        for area in AREAS
        for r in range(1, 6)
        for f in range(1, 6)
        if area.r[0] <= r <= area.r[1] and area.f[0] <= f <= area.f[1]
    )
    assert len(areas) == 25
    assert set(areas.values()) == {1}


async def test_sql_and_python_agree(rows: Rows) -> None:
    places = "unnest(array[0, 1, 2, 3, 4, 5, 6, null])"
    found = await rows(f"select r, f, {grid_sql('r', 'f')} as name from {places} as r, {places} as f")  # noqa: S608
    assert len(found) == 64
    for row in found:
        assert row["name"] == grid_name(row["r"], row["f"]), row
