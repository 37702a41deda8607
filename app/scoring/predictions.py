"""Predicted values between the rows and the models: histories out of stats, predictions into rows that change.

The model's clock stands at the day before the run's `as_of`, or at the customer's last order where that is later: so a
prediction changes with what the customer does and with the next run, and not with every hour.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from app.core.db import Connection, statement, unnest
from app.scoring.judging import PREDICTIONS
from app.scoring.prediction.fitted import Fit
from app.scoring.prediction.histories import Histories
from app.scoring.prediction.predict import Predictions, predict
from app.scoring.repository import mark

_PACKED: Final = np.dtype(
    [("customer_id", ">i8"), ("x", ">i4"), ("t_x_days", ">i4"), ("age_days", ">i4"), ("mean_spend_fen", ">f8")]
)
# One value of packed numbers, because a million rows of five columns take longer to decode than to score.
_HISTORY: Final = """
    int8send(s.customer_id) || int4send(s.purchase_days - 1) || int4send(s.last_on - s.first_on)
    || int4send(greatest(cast(:clock as date), s.last_on) - s.first_on)
    || float8send(case when s.purchase_days > 1
                  then greatest(s.net_fen - s.first_day_net_fen, 0) / (s.purchase_days - 1)::float8 else 0 end)
"""
_PART: Final = 100_000


def _histories(table: str, of_run: str) -> str:
    return f"""
        select string_agg({_HISTORY}, ''::bytea order by s.customer_id) as histories
        from {table} s
        where s.shop_id = :shop_id and s.orders > 0 and s.customer_id = any(cast(:customer_ids as bigint[]))
            and s.customer_id between :first_id and :last_id {of_run}
    """  # noqa: S608 names of our own


def _everybody(table: str, of_run: str) -> str:
    return f"""
        select string_agg({_HISTORY}, ''::bytea order by s.customer_id) as histories
        from (
            select s.*, (row_number() over (order by s.customer_id) - 1) / {_PART} as part from {table} s
            where s.shop_id = :shop_id and s.orders > 0 and s.first_on < :as_of {of_run}
        ) s
        group by part order by part
    """  # noqa: S608 names of our own


_OF_RUN: Final = "and s.run_id = :run_id"
SOME = statement(text(_histories("customer_stats", "")))
SOME_OF_RUN = statement(text(_histories("score_snapshots", _OF_RUN)))
ALL = statement(text(_everybody("customer_stats", "")))
ALL_OF_RUN = statement(text(_everybody("score_snapshots", _OF_RUN)))

_NAMES: Final = ", ".join(PREDICTIONS)
_ARRAYS: Final = {
    "customer_id": "bigint",
    "p_alive": "float8",
    "expected_purchases_90d": "float8",
    "expected_purchases_365d": "float8",
    "expected_spend_fen": "bigint",
    "clv_predicted_fen": "bigint",
}
WRITE = statement(
    text(
        f"""
        with told as materialized (select * from {unnest(_ARRAYS)}),
        gone as (
            delete from customer_predictions g
            where g.shop_id = :shop_id and g.customer_id = any(cast(:customer_ids as bigint[]))
                and g.customer_id between :first_id and :last_id
                and not exists (select from told t where t.customer_id = g.customer_id)
            returning g.customer_id
        ),
        written as (
            insert into customer_predictions as g (shop_id, run_id, customer_id, {_NAMES})
            select :shop_id, :run_id, customer_id, {_NAMES} from told order by customer_id
            on conflict (shop_id, customer_id) do update set
                run_id = excluded.run_id, {", ".join(f"{name} = excluded.{name}" for name in PREDICTIONS)}
            where ({", ".join(f"g.{name}" for name in PREDICTIONS)})
                is distinct from ({", ".join(f"excluded.{name}" for name in PREDICTIONS)})
            returning g.customer_id
        ),
        changed as (select customer_id from gone union all select customer_id from written)
        {mark("changed")}
        """  # noqa: S608 column names of our own
    )
)
WRITE_SNAPSHOT = statement(
    text(
        f"""
        update score_snapshots s set {", ".join(f"{name} = t.{name}" for name in PREDICTIONS)}
        from {unnest(_ARRAYS)}
        where s.shop_id = :shop_id and s.run_id = :run_id and s.customer_id = t.customer_id
            and s.customer_id between :first_id and :last_id
        """  # noqa: S608 column names of our own
    )
)


class Told:
    """Customers, and the history of each that has one; shape (n,)."""

    def __init__(self, packed: bytes | None) -> None:
        rows = np.frombuffer(packed or b"", dtype=_PACKED)
        self.customer_ids: npt.NDArray[np.int64] = rows["customer_id"].astype(np.int64)
        self.histories = Histories.of(
            rows["x"].astype(np.int32),
            rows["t_x_days"].astype(np.int32),
            rows["age_days"].astype(np.int32),
            rows["mean_spend_fen"].astype(np.float64),
        )


async def everybody(db: Connection, shop_id: int, as_of: Any, clock: Any, run_id: Any = None) -> Histories:
    """The histories of all buyers; of an as-of run's own rows where it is named."""
    of_run = {"run_id": run_id} if run_id else {}
    query = ALL_OF_RUN if run_id else ALL
    parts = await db.fetch(query, shop_id=shop_id, as_of=as_of, clock=clock, **of_run)
    return Told(b"".join(part["histories"] for part in parts)).histories


async def renew(
    db: Connection,
    shop_id: int,
    who: dict[str, Any],
    run_id: Any,
    fit: Fit | None,
    marking: dict[str, Any],
    **model: Any,
) -> None:
    """Predict customers whose stats rows are held; rows of who has no orders, and of everybody without a fit, go.

    Args:
        marking: whether who differs is looked at again, and when.
        model: `clock`, the day that the run's model stands at, and `monthly_discount_rate`.
    """
    told = Told(await db.fetch_value(SOME, shop_id=shop_id, clock=model["clock"], **who) if fit else None)
    columns = _columns(told, fit, model["monthly_discount_rate"])
    await db.execute(WRITE, shop_id=shop_id, run_id=run_id, **who, **columns, **marking)


async def predict_snapshot(
    db: Connection, shop_id: int, who: dict[str, Any], run_id: Any, fit: Fit | None, **model: Any
) -> None:
    """As `renew`, of an as-of run's own rows, which have no predictions yet."""
    if fit:
        packed = await db.fetch_value(SOME_OF_RUN, shop_id=shop_id, clock=model["clock"], run_id=run_id, **who)
        columns = _columns(Told(packed), fit, model["monthly_discount_rate"])
        ends = {name: who[name] for name in ("first_id", "last_id")}
        await db.execute(WRITE_SNAPSHOT, shop_id=shop_id, run_id=run_id, **ends, **columns)


def _columns(told: Told, fit: Fit | None, monthly_discount_rate: float) -> dict[str, Sequence[Any]]:
    if fit is None or not len(told.customer_ids):
        return dict.fromkeys(_ARRAYS, ())
    known = told.histories
    found: Predictions = predict(
        fit,
        known.x,
        known.t_x_days,
        known.age_days,
        known.mean_spend_fen,
        monthly_discount_rate=monthly_discount_rate,
    )
    return {"customer_id": told.customer_ids.tolist()} | {name: getattr(found, name).tolist() for name in PREDICTIONS}
