"""Published RFM answers for the CDNOW sample, by the public import and export; skipped where the data is not."""

import csv
import gzip
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.access.shops import Shop
from tests.conftest import Api
from tests.imports.files import put_in

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "cdnow_sample"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the CDNOW sample is not beside the project (licence: private)"
)


def _table(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def test_rfm_equals_the_published_answers(
    api: Api, shop: Shop, base_url: str, work: Callable[[], Awaitable[None]], tmp_path: Path
) -> None:
    path = tmp_path / "orders.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["order_no", "external_id", "paid_at", "amount"])
        for row in _table("orders.csv.gz"):
            writer.writerow([row["order_no"], row["customer_id"], row["order_date"], row["amount"]])
    result = await put_in("orders", path, api, base_url, work)
    assert (result.created, result.refused) == (6919, 0)
    again = await put_in("orders", path, api, base_url, work)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 6919)

    reference = _table("ref_rfm.csv.gz")
    for as_of in ("1997-10-01", "1998-07-01"):
        accepted = (await api.post("/v1/triggers/rescore", {"as_of": as_of})).json()
        await work()
        exported = (await api.get("/v1/scores/export", params={"run": accepted["run_id"]})).text
        scores = {line["external_id"]: line for line in map(orjson.loads, exported.splitlines())}
        wanted = [row for row in reference if row["as_of"] == as_of]
        assert len(scores) == len(wanted) == 2357
        for row in wanted:
            assert _ours(scores[row["customer_id"]]) == _theirs(row), (as_of, row["customer_id"])


def _ours(line: dict[str, Any]) -> tuple[Any, ...]:
    names = ("first_on", "last_on", "orders", "purchase_days", "gross_fen", "recency_days", "tenure_days")
    return (*(line[name] for name in names), line["r"], line["f"], line["m"], line["rfm_type"])


def _theirs(row: dict[str, str]) -> tuple[Any, ...]:
    return (
        date.fromisoformat(row["first_day"]).isoformat(),
        row["last_day"],
        int(row["orders"]),
        int(row["purchase_days"]),
        round(float(row["amount"]) * 100),
        int(row["recency_days"]),
        int(row["tenure_days"]),
        int(row["r_cut"]),
        int(row["f_cut"]),
        int(row["m_cut"]),
        row["type8_mean"],
    )
