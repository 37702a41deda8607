"""How customers moved between tiers, or stages, from one day to another, read from the changes that were recorded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from app.access.shops import Shop
from app.core.db import Connection
from app.core.errors import Unprocessable
from app.scoring.reports import repository
from app.scoring.reports.schemas import Migration, MigrationMove, Of
from app.scoring.repository import PLAN_FOR_EVERYBODY
from app.scoring.service import stands_at

Pairs = Mapping[tuple[str | None, str | None], int]


async def migration(db: Connection, shop: Shop, of: Of, from_as_of: date, to_as_of: date) -> Migration:
    """From each tier to each tier, between two exclusive days.

    Raises: Unprocessable naming the day: `from` not before `to`, or before the first that is known; `to` after today's.
    """
    _check(await stands_at(db, shop), from_as_of, to_as_of)
    await db.execute(PLAN_FOR_EVERYBODY)
    rows = await db.fetch(repository.MIGRATION[of], shop_id=shop.id, from_as_of=from_as_of, to_as_of=to_as_of)
    first_as_of = min((row["first_as_of"] for row in rows), default=None)
    if first_as_of is not None and from_as_of < first_as_of:
        raise Unprocessable(f"from: the first day of which a {of} is known is {first_as_of}", field="from")
    run = await db.fetch_one(repository.PUBLISHED_RUN, shop_id=shop.id) if of == "tier" else None
    ranks = {tier["name"]: rank for rank, tier in enumerate(run["tiers"]["tiers"])} if run else {}
    pairs = {(row["from_name"], row["to_name"]): row["customers"] for row in rows}
    pairs.pop((None, None), None)  # who came after the second day
    names, steps = _names(pairs, ranks), _steps(pairs, ranks)
    return Migration(
        of=of,
        from_as_of=from_as_of,
        to_as_of=to_as_of,
        first_as_of=first_as_of,
        names=names,
        stayed=sum(count for (before, after), count in pairs.items() if before == after),
        moved=sum(count for (before, after), count in pairs.items() if None not in (before, after) and before != after),
        moved_up=sum(count for step, count in steps if step < 0) if ranks else None,
        moved_down=sum(count for step, count in steps if step > 0) if ranks else None,
        entered=sum(count for (before, _), count in pairs.items() if before is None),
        left=sum(count for (_, after), count in pairs.items() if after is None),
        moves=_moves(pairs, names),
    )


def _check(last: date, from_as_of: date, to_as_of: date) -> None:
    if from_as_of >= to_as_of:
        raise Unprocessable("from: write a day before `to`", field="from")
    if to_as_of > last:
        raise Unprocessable(f"to: the last day there is, is {last}", field="to")


def _names(pairs: Pairs, ranks: Mapping[str, int]) -> list[str]:
    found = {name for pair in pairs for name in pair if name is not None}
    return [*ranks, *sorted(found - ranks.keys())]


def _steps(pairs: Pairs, ranks: Mapping[str, int]) -> list[tuple[int, int]]:
    """By how many ranks customers moved, and how many did; below 0 is up, because the first tier is the best."""
    return [
        (ranks[after] - ranks[before], count)
        for (before, after), count in pairs.items()
        if before is not None and after is not None and before in ranks and after in ranks
    ]


def _moves(pairs: Pairs, names: Sequence[str]) -> list[MigrationMove]:
    were: Counter[str | None] = Counter()
    for (before, _), count in pairs.items():
        were[before] += count
    places: dict[str | None, int] = {None: 0} | {name: place for place, name in enumerate(names, start=1)}
    return [
        MigrationMove(
            from_name=before,
            to_name=after,
            customers=pairs[before, after],
            share=pairs[before, after] / were[before] if before is not None else None,
        )
        for before, after in sorted(pairs, key=lambda pair: (places[pair[0]], places[pair[1]]))
    ]
