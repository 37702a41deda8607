"""Made-up customers with stats, scores and predictions, written past the wall; and runs to read them by."""

import random
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson

from app.access.shops import Shop
from tests.conftest import Rows

Json = dict[str, Any]

TIERS: list[Json] = [
    {
        "name": "vip",
        "label": "高价值客户",
        "when": [{"field": "orders", "at_least": 9}],
        "expected_share": [0.05, 0.08],
    },
    {"name": "high_potential", "label": "高潜客户", "when": [{"field": "orders", "at_least": 5}]},
    {
        "name": "at_risk",
        "label": "流失风险客户",
        "when": [{"field": "silent_days", "more_than": 90}],
        "expected_share": [0.0, 1.0],
    },
    {"name": "regular", "label": "普通客户", "when": []},
]
FLAGS = ("price_sensitive", "quality_oriented", "socially_active", "second_purchase", "vip_drop")
_TYPES = ("重要价值客户", "一般价值客户", "重要挽留客户", "一般挽留客户")
_STATS = ("since_on", "active_on", "orders", "purchase_days", "net_fen", "gap_median_days")
_SCORES = (
    *("r", "f", "m", "rfm_type", "tier", "stage", "cycle_state", "churn_band", "lead_score", "nurture_stage"),
    *FLAGS,
)
_PREDICTIONS = ("p_alive", "clv_predicted_fen")


def person(number: int, chance: random.Random, as_of: date) -> Json:
    """One of them: a third have no orders, a few wait for their scores."""
    since_on = as_of - timedelta(days=chance.randint(1, 900))
    orders = max(0, chance.randint(-3, 6))
    days = min(orders, chance.randint(1, 4))
    waits = chance.random() < 0.05
    made: Json = {
        "customer_id": number,
        "since_on": since_on,
        "active_on": since_on,
        "orders": orders,
        "purchase_days": days if orders else 0,
        "net_fen": chance.randint(-100, 90_000) if orders else 0,
        "gap_median_days": chance.choice([1, 7, 7.5, 8, 14, 14.5, 30, 31, 90.5, 365, 365.5, 800])
        if orders and days > 1
        else None,
        "p_alive": chance.random() if orders and chance.random() < 0.9 else None,
        **dict.fromkeys((*_SCORES, "clv_predicted_fen")),
    }
    if made["p_alive"] is not None:
        made["clv_predicted_fen"] = chance.randint(0, 300) * 100
    if not waits:
        made["tier"] = chance.choice([*(tier["name"] for tier in TIERS), "diamond"])
        made["stage"] = chance.choice(["new", "mature", "lost"])
        made |= {flag: chance.choice([True, False, None]) for flag in FLAGS}
    if orders and not waits:
        made |= {name: chance.randint(1, 5) for name in ("r", "f", "m")}
        made["rfm_type"] = chance.choice(_TYPES)
        made["cycle_state"] = chance.choice(["on_track", "due", "overdue", "dormant", "lost"])
        made["churn_band"] = chance.choice(["low", "high"])
    if not orders and not waits:
        made["nurture_stage"] = chance.choice(["cold", "hot"])
    return made


def people(count: int, as_of: date, seed: int = 7) -> list[Json]:
    """So many, the same every time."""
    chance = random.Random(seed)
    return [person(number, chance, as_of) for number in range(1, count + 1)]


async def write_live(rows: Rows, shop: Shop, persons: list[Json]) -> None:
    """As the refresh would leave them; who waits has no scores, who has no prediction no row of that."""
    await _write(rows, "customer_stats", shop, persons, _STATS)
    scored = [one for one in persons if one["tier"]]
    await _write(rows, "customer_scores", shop, scored, _SCORES, {"created_at": "2026-01-01"})
    predicted = [one for one in persons if one["clv_predicted_fen"] is not None]
    await _write(rows, "customer_predictions", shop, predicted, _PREDICTIONS, {"run_id": uuid4()})


async def write_snapshot(rows: Rows, shop: Shop, run_id: UUID, persons: list[Json]) -> None:
    """As an as-of run would leave them."""
    names = (*_STATS, *_SCORES, *_PREDICTIONS)
    await _write(rows, "score_snapshots", shop, persons, names, {"run_id": run_id})


async def write_run(
    rows: Rows, shop: Shop, as_of: date, *, kind: str = "live", state: str = "published", tiers: Any = None
) -> UUID:
    """A run with a tier definition."""
    run_id = uuid4()
    await rows(
        """
        insert into score_runs (shop_id, id, kind, state, as_of, settings, tiers, tiers_version, created_at)
        values ($1, $2, $3, $4, $5, '{}', $6, 0, now())
        """,
        shop.id,
        run_id,
        kind,
        state,
        as_of,
        orjson.dumps({"name": "value", "tiers": TIERS if tiers is None else tiers}).decode(),
    )
    return run_id


async def _write(
    rows: Rows, table: str, shop: Shop, persons: list[Json], names: tuple[str, ...], more: Json | None = None
) -> None:
    columns = ", ".join(("customer_id", *names, *(more or {})))
    values = [{name: one[name] for name in ("customer_id", *names)} | (more or {}) for one in persons]
    await rows(
        f"insert into {table} (shop_id, {columns}) "  # noqa: S608 names of our own
        f"select $1, {columns} from jsonb_populate_recordset(null::{table}, $2)",
        shop.id,
        orjson.dumps(values, default=str).decode(),
    )
