"""The model of repeat purchases on a shop's own histories: seconds of a fit, and of predicting everybody."""

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from typing import Final, NamedTuple

from app.access.entry import Entry
from app.access.shops import Shops
from app.core.config import Settings
from app.core.crypto import RootKey
from app.main import open_database
from app.scoring import predictions
from app.scoring.prediction.fit import Floors, fit
from app.scoring.prediction.fitted import Declined
from app.scoring.prediction.histories import Histories
from app.scoring.prediction.predict import predict
from benchmarks.client import WrongAnswer
from benchmarks.measure import Figure
from benchmarks.stage import Stage, Tenant

_MILLION: Final = 1_000_000
_TIMES: Final = 3


class Taken(NamedTuple):
    """Seconds of each fit and of each prediction of everybody, and how many that are."""

    fits: list[float]
    predicted: list[float]
    customers: int


def figures(place: Stage, tenant: Tenant) -> list[Figure]:
    """In a process of its own, so that nothing is warm but what it warms itself."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        taken = apart.submit(_measure, place.settings, tenant.shop.id).result()
    form = f"{taken.customers:,} histories"
    return [
        Figure("scoring: fitting the model", taken.fits, "s", 5, higher_is_better=False, detail=form),
        Figure(
            "scoring: predicting a million",
            [seconds * _MILLION / taken.customers for seconds in taken.predicted],
            "s",
            2,
            higher_is_better=False,
            detail=f"scaled from {form}",
        ),
    ]


def _measure(settings: Settings, shop_id: int) -> Taken:
    histories, day = asyncio.run(_read(settings, shop_id))
    fits, predicted = [], []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        found = fit(histories, day, Floors())
        fits.append(time.perf_counter() - begun)
        if isinstance(found, Declined):
            raise WrongAnswer(found.message)
        begun = time.perf_counter()
        predict(found, histories.x, histories.t_x_days, histories.age_days, histories.mean_spend_fen)
        predicted.append(time.perf_counter() - begun)
    return Taken(fits, predicted, len(histories))


async def _read(settings: Settings, shop_id: int) -> tuple[Histories, date]:
    root = RootKey(settings.root_key_bytes)
    database = open_database(settings, None)
    try:
        async with Entry(database, root, Shops(database, root)).shop(shop_id) as (db, shop):
            as_of = shop.live_as_of()
            day = as_of - timedelta(days=1)
            return await predictions.everybody(db, shop.id, as_of, day), day
    finally:
        await database.close()
