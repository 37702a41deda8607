"""How a shop's customers are distributed over everything that they are judged by."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.access.shops import Shop
from app.core.db import Connection, Row
from app.scoring.grid import AREAS, grid_name
from app.scoring.reports import repository
from app.scoring.reports.runs import run_of
from app.scoring.reports.schemas import (
    Clv,
    Cycle,
    CycleBin,
    Decile,
    Distribution,
    GridCell,
    NetPart,
    Part,
    TierPart,
)
from app.scoring.reports.weighted import mean, quantile
from app.scoring.repository import PLAN_FOR_EVERYBODY
from app.scoring.service import stands_at
from app.scoring.tiers.definition import Definition, Tier
from app.scoring.tiers.shares import share_warnings

CYCLE_STATES: Final = ("on_track", "due", "overdue", "dormant", "lost")
BIN_ENDS: Final = (7, 14, 30, 60, 90, 180, 365)  # days, included
_SCORES: Final = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class _Count:
    customers: int = 0
    net_fen: int = 0


class _Spread:
    """Counts by part and value, and the share that each is of everybody."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._parts: defaultdict[str, dict[str, _Count]] = defaultdict(dict)
        for row in rows:
            self._parts[row["part"]][row["value"]] = _Count(row["customers"], row["net_fen"] or 0)
        self.everybody = self.count("all", "all").customers

    def of(self, part: str) -> Mapping[str, _Count]:
        """Counts by value."""
        return self._parts[part]

    def count(self, part: str, value: str) -> _Count:
        """One of them; zeros where there is nobody."""
        return self._parts[part].get(value, _Count())

    def share(self, customers: int) -> float | None:
        """Of everybody."""
        return customers / self.everybody if self.everybody else None

    def part(self, part: str, value: str, name: str | None = None) -> Part:
        """One value with its share."""
        found = self.count(part, value)
        return Part(name=name or value, customers=found.customers, share=self.share(found.customers))

    def net_part(self, part: str, value: str) -> NetPart:
        """The same with the net spend."""
        return NetPart(**self.part(part, value).model_dump(), net_fen=self.count(part, value).net_fen)

    def largest_first(self, part: str) -> list[str]:
        """The values that occur."""
        return sorted(self.of(part), key=lambda value: (-self.count(part, value).customers, value))


async def distribution(db: Connection, shop: Shop, run_id: UUID | None) -> Distribution:
    """Of the live scores, or those of an as-of run. Raises NotFound for a run that cannot be read."""
    run = await run_of(db, shop.id, run_id)
    live = run["kind"] == "live"
    as_of = await stands_at(db, shop) if live else run["as_of"]
    whose = {} if live else {"run_id": run["id"]}
    await db.execute(PLAN_FOR_EVERYBODY)
    spread = _Spread(
        await db.fetch(repository.LIVE_SPREAD, shop_id=shop.id, as_of=as_of)
        if live
        else await db.fetch(repository.RUN_SPREAD, shop_id=shop.id, **whose)
    )
    deciles = await db.fetch(repository.LIVE_DECILES if live else repository.RUN_DECILES, shop_id=shop.id, **whose)
    tiers = _tiers(spread, Definition.model_validate(run["tiers"]))
    return Distribution(
        run_id=run["id"],
        kind=run["kind"],
        as_of=as_of,
        customers=spread.everybody,
        tiers=tiers,
        without_tier=spread.everybody - sum(tier.customers for tier in tiers),
        rfm_types=[spread.net_part("rfm_type", name) for name in spread.largest_first("rfm_type")],
        rfm_grid=[_cell(spread, r, f) for r in _SCORES for f in _SCORES],
        grid_names=[spread.net_part("grid", area.name) for area in AREAS],
        cycle_states=[spread.part("cycle_state", name) for name in CYCLE_STATES],
        stages=[spread.part("stage", name) for name in spread.largest_first("stage")],
        churn_bands=[spread.part("churn_band", name) for name in spread.largest_first("churn_band")],
        nurture_stages=[spread.part("nurture_stage", name) for name in spread.largest_first("nurture_stage")],
        flags=[spread.part(name, "all", name) for name in repository.FLAGS],
        clv=_clv([Decile(**row) for row in deciles]),
        repurchase_cycle=cycle({float(days): count.customers for days, count in spread.of("gap_days").items()}),
    )


def _tiers(spread: _Spread, definition: Definition) -> list[TierPart]:
    """The definition's tiers in order, then those that people have of a former one."""
    counts = {name: count.customers for name, count in spread.of("tier").items()}
    warnings = {warning.tier: warning.text for warning in share_warnings(definition, counts, spread.everybody)}
    defined = {tier.name: tier for tier in definition.tiers}
    others = [name for name in spread.largest_first("tier") if name not in defined]
    return [_tier(spread.part("tier", name), defined.get(name), warnings.get(name)) for name in (*defined, *others)]


def _tier(part: Part, defined: Tier | None, warning: str | None) -> TierPart:
    return TierPart(
        **part.model_dump(),
        label=defined.label if defined else None,
        expected_share=defined.expected_share if defined else None,
        warning=warning,
    )


def _cell(spread: _Spread, r: int, f: int) -> GridCell:
    found = spread.count("r_f", f"{r}{f}")
    return GridCell(r=r, f=f, name=grid_name(r, f) or "", customers=found.customers, net_fen=found.net_fen)


def _clv(deciles: list[Decile]) -> Clv:
    customers = sum(one.customers for one in deciles)
    sum_fen = sum(one.sum_fen for one in deciles)
    return Clv(
        customers=customers, sum_fen=sum_fen, mean_fen=sum_fen / customers if customers else None, deciles=deciles
    )


def cycle(gaps: Mapping[float, int]) -> Cycle:
    """The repurchase cycle from customers counted by the median gap between their purchase days, in days.

    A half day, which a median of whole days can have, counts to the longer bin.
    """
    starts, ends = (0, *(end + 1 for end in BIN_ENDS)), (*BIN_ENDS, None)
    bins = [
        CycleBin(from_days=start, to_days=end, customers=sum(_within(gaps, start, end)))
        for start, end in zip(starts, ends, strict=True)
    ]
    return Cycle(
        customers=sum(gaps.values()),
        mean_days=mean(gaps),
        q10_days=quantile(gaps, 0.1),
        q25_days=quantile(gaps, 0.25),
        median_days=quantile(gaps, 0.5),
        q75_days=quantile(gaps, 0.75),
        q90_days=quantile(gaps, 0.9),
        bins=bins,
    )


def _within(gaps: Mapping[float, int], start: int, end: int | None) -> Iterable[int]:
    return (count for days, count in gaps.items() if days > start - 1 and (end is None or days <= end))
