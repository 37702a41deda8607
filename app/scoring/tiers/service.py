"""Which definition counts, how another one takes its place, and what that would do."""

from collections import Counter
from datetime import date
from typing import Final, NamedTuple

from app.core import clock
from app.core.db import Connection
from app.core.errors import StartOver, Unprocessable
from app.scoring.tiers import repository
from app.scoring.tiers.definition import Definition
from app.scoring.tiers.schemas import Mover, Preview, RunShares, Threshold
from app.scoring.tiers.schemes import VALUE
from app.scoring.tiers.shares import Move, share_warnings, tier_shares
from app.uses import service as uses

SAMPLE: Final = 20


class Published(NamedTuple):
    """A definition that counts. Version 0 is built in."""

    version: int
    definition: Definition


class Publication(NamedTuple):
    """What came of publishing. `added`: it was not the one that counts already."""

    version: int
    added: bool


async def current(db: Connection, shop_id: int) -> Published:
    """The shop's newest definition, or the built-in one."""
    row = await repository.newest(db, shop_id)
    if row is None:
        return Published(0, VALUE)
    return Published(row["version"], Definition.model_validate(row["definition"]))


async def check_name(db: Connection, shop_id: int, name: str, *, field: str) -> None:
    """Raises Unprocessable for a tier that nobody has and the definition that counts does not give.

    After a definition was published, people have the tiers of the one before until the run that follows.
    """
    names = [tier.name for tier in (await current(db, shop_id)).definition.tiers]
    if name not in names:
        run = await db.fetch_one(repository.LAST_RUN, shop_id=shop_id)
        names += [tier["name"] for tier in run["tiers"]["tiers"] if tier["name"] not in names] if run else []
    if name not in names:
        raise Unprocessable(f"There is no tier {name}; the shop's are {', '.join(names)}", field=field)


async def publish(db: Connection, shop_id: int, definition: Definition, actor: str | None) -> Publication:
    """Make it the definition that counts; where it does already, nothing is written. Scores follow with a full run.

    Raises: StartOver where somebody else published meanwhile, StillUsed where something asks for a tier that would go.
    """
    names = {tier.name for tier in definition.tiers}
    for tier in (await current(db, shop_id)).definition.tiers:
        if tier.name not in names:
            await uses.refuse_used(db, shop_id, "tier", tier.name)
    version = await repository.add(db, shop_id, definition, built_in=VALUE, actor=actor, moment=clock.now())
    if version is not None:
        return Publication(version, added=True)
    now = await current(db, shop_id)
    if now.definition != definition:
        raise StartOver
    return Publication(now.version, added=False)


async def last_run(db: Connection, shop_id: int) -> RunShares | None:
    """How the published run spread the customers; None before one has ended."""
    run = await db.fetch_one(repository.LAST_RUN, shop_id=shop_id)
    if run is None or run["shares"] is None:
        return None
    definition = Definition.model_validate(run["tiers"])
    return RunShares(
        run_id=run["id"],
        as_of=run["as_of"],
        version=run["tiers_version"],
        tiers=tier_shares(definition, run["shares"]),
        warnings=share_warnings(definition, run["shares"]),
    )


async def preview(db: Connection, shop_id: int, definition: Definition, as_of: date, sample: int = SAMPLE) -> Preview:
    """What the definition would make of the live stats: nothing is written.

    Three statements, whatever the definition: two walk everybody, one the customers until enough of them would move.
    """
    values = await repository.values_of(db, shop_id, definition, as_of)
    rows = await repository.moves(db, shop_id, definition, values, as_of)
    moves = [Move(**row) for row in rows]
    moving = sum(move.customers for move in moves if move.from_tier != move.to_tier)
    counts: Counter[str] = Counter()
    for move in moves:
        if move.to_tier is not None:
            counts[move.to_tier] += move.customers
    found = await repository.movers(db, shop_id, definition, values, as_of, limit=sample) if moving else []
    return Preview(
        as_of=as_of,
        customers=sum(move.customers for move in moves),
        moving=moving,
        tiers=tier_shares(definition, counts),
        warnings=share_warnings(definition, counts),
        moves=moves,
        thresholds=_thresholds(definition, values),
        sample=[Mover(**row) for row in found],
    )


def _thresholds(definition: Definition, values: list[float | None]) -> list[Threshold]:
    places = ((tier.name, condition) for tier in definition.tiers for condition in tier.when)
    return [
        Threshold(
            tier=tier,
            field=condition.field,
            operator=condition.operator,
            number=condition.number,
            among=condition.among,
            value=value,
        )
        for (tier, condition), value in zip(places, values, strict=True)
    ]
