"""Ten names for customers with orders, by how recent (r) and how frequent (f) they are."""

from typing import Final, NamedTuple


class Area(NamedTuple):
    """A rectangle of the grid: from and to which r, from and to which f, both ends included."""

    name: str
    r: tuple[int, int]
    f: tuple[int, int]


AREAS: Final = (
    Area("champions", (5, 5), (4, 5)),
    Area("loyal_customers", (3, 4), (4, 5)),
    Area("potential_loyalists", (4, 5), (2, 3)),
    Area("new_customers", (5, 5), (1, 1)),
    Area("promising", (4, 4), (1, 1)),
    Area("need_attention", (3, 3), (3, 3)),
    Area("about_to_sleep", (3, 3), (1, 2)),
    Area("at_risk", (1, 2), (3, 4)),
    Area("cant_lose", (1, 2), (5, 5)),
    Area("hibernating", (1, 2), (1, 2)),
)


def grid_name(r: int | None, f: int | None) -> str | None:
    """The name of a place in the grid; None outside it, as of who has no orders."""
    if r is None or f is None:
        return None
    return next((area.name for area in AREAS if area.r[0] <= r <= area.r[1] and area.f[0] <= f <= area.f[1]), None)


def grid_sql(r: str, f: str) -> str:
    """The same as an SQL expression over two columns or expressions of our own."""
    whens = " ".join(
        f"when {r} between {area.r[0]} and {area.r[1]} and {f} between {area.f[0]} and {area.f[1]} then '{area.name}'"
        for area in AREAS
    )
    return f"case {whens} end"
