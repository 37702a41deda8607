"""The refresh, the full run and a plain-Python oracle give the same rows for one day and one published run."""

import asyncio
import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.schemas import IdentityWrite
from app.customers.service import Write
from app.orders import service as orders
from app.orders.schemas import OrderWrite, RefundWrite
from app.refresh import rescore
from app.scoring.formulas import SCORES, STATS
from tests.conftest import Rows
from tests.scoring import oracle
from tests.scoring.oracle import Person
from workers.house import House

AS_OF = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 00:00 of that day in Shanghai

# Hours before midnight: around today, the windows' edges (30, 90, 365 days) and after the day itself.
_ages = st.one_of(
    st.integers(-30, 60),
    st.sampled_from([24 * d + h for d in (30, 31, 90, 91, 365, 366) for h in (-1, 0, 1)]),
    st.integers(0, 24 * 800),
)
_fact = st.fixed_dictionaries(
    {
        "person": st.integers(0, 5),
        "age": _ages,
        "fen": st.integers(0, 500),
        "refund": st.one_of(st.none(), st.integers(0, 9)),
        "closed": st.booleans() | st.just(False),
    }
)
_facts = st.lists(_fact, max_size=12)
_counter = itertools.count()


class _Story:
    """One shop told the same facts as the oracle's people."""

    def __init__(self, entry: Entry, house: House, shop: Shop) -> None:
        self.entry, self.house, self.shop = entry, house, shop
        self.ids = CustomerIds()
        self.people: dict[int, Person] = {}
        self.numbers: dict[int, int] = {}
        self.orders: list[str] = []

    async def register(self, hours_before: list[int]) -> None:
        """Six people, of whom some never buy."""
        for name, hours in enumerate(hours_before):
            created_at = MIDNIGHT - timedelta(hours=hours)
            write = Write([IdentityWrite(kind="external_id", value=f"P{name}")], created_at=created_at)
            async with self.entry.shop(self.shop.id) as (db, shop):
                (outcome,) = await customers.upsert(db, shop, self.ids, [write])
            self.people[name] = Person(created_at)
            self.numbers[name] = outcome.customer_id or 0

    async def tell(self, facts: list[dict[str, Any]]) -> None:
        """Orders and refunds, one transaction each."""
        for fact in facts:
            at = MIDNIGHT - timedelta(hours=fact["age"])
            person = self.people[fact["person"]]
            if fact["refund"] is not None and self.orders:
                number = self.orders[fact["refund"] % len(self.orders)]
                owner = next(p for p in self.people.values() if any(o[0] == number for o in p.orders))
                owner.refunds.append((number, at, fact["fen"]))
                refund = RefundWrite(
                    refund_no=f"R{next(_counter)}", order_no=number, amount_fen=fact["fen"], refunded_at=at
                )
                async with self.entry.shop(self.shop.id) as (db, shop):
                    await orders.put_refunds(db, shop, [refund])
                continue
            number = f"O{next(_counter)}"
            self.orders.append(number)
            person.orders.append((number, at, fact["fen"], fact["closed"]))
            order = OrderWrite(
                order_no=number,
                identities=[IdentityWrite(kind="external_id", value=f"P{fact['person']}")],
                paid_at=at,
                amount_fen=fact["fen"],
                status="closed" if fact["closed"] else "paid",
            )
            async with self.entry.shop(self.shop.id) as (db, shop):
                await orders.put_orders(db, shop, self.ids, [order])

    async def full_run(self) -> None:
        """Ask for one and do it."""
        async with self.entry.shop(self.shop.id) as (db, shop):
            await rescore.request(db, shop)
        await self.house.rounds.until_idle(self.shop.id)

    async def refresh(self) -> None:
        """Whatever is due."""
        await self.house.rounds.until_idle(self.shop.id)

    def expected(self, run: oracle.Cuts | None) -> dict[int, tuple[Any, ...]]:
        """By the oracle."""
        found = {}
        for name, person in self.people.items():
            s = oracle.stats(person, AS_OF, self.shop.zone)
            columns = tuple(getattr(s, column) for column in STATS)
            found[self.numbers[name]] = (*columns, *oracle.scores(s, run, AS_OF))
        return found

    def cuts(self) -> oracle.Cuts | None:
        """By the oracle, of the facts so far."""
        everyone = [oracle.stats(person, AS_OF, self.shop.zone) for person in self.people.values()]
        return oracle.cuts(everyone, AS_OF)


async def _stored(rows: Rows, shop: Shop) -> dict[int, tuple[Any, ...]]:
    names = ", ".join([f"s.{name}" for name in STATS] + [f"k.{name}" for name in SCORES])
    found = await rows(
        f"select s.customer_id, {names} from customer_stats s "  # noqa: S608 column names of ours
        "left join customer_scores k using (shop_id, customer_id) where s.shop_id = $1",
        shop.id,
    )
    return {row["customer_id"]: tuple(row.values())[1:] for row in found}


async def test_refresh_full_run_and_oracle_agree(entry: Entry, house: House, rows: Rows) -> None:
    loop = asyncio.get_running_loop()

    async def story(registered: list[int], first: list[dict[str, Any]], then: list[dict[str, Any]]) -> None:
        number = await create_shop(entry.database, entry.root, name="history", pinned_as_of=AS_OF)
        told = _Story(entry, house, await entry.shops.get(number))
        await told.register(registered)
        await told.tell(first)
        await told.refresh()
        assert await _stored(rows, told.shop) == told.expected(None), "before anything is published"
        await told.full_run()
        published = told.cuts()
        assert await _stored(rows, told.shop) == told.expected(published), "after the full run"
        await told.tell(then)
        await told.refresh()
        refreshed = await _stored(rows, told.shop)
        assert refreshed == told.expected(published), "after more facts, under the same run"
        await told.full_run()
        assert await _stored(rows, told.shop) == told.expected(told.cuts()), "after the next full run"

    @settings(max_examples=30)
    @given(registered=st.lists(_ages, min_size=6, max_size=6), first=_facts, then=_facts)
    def check(registered: list[int], first: list[dict[str, Any]], then: list[dict[str, Any]]) -> None:
        asyncio.run_coroutine_threadsafe(story(registered, first, then), loop).result(60)

    await asyncio.to_thread(check)


async def test_an_as_of_run_counts_earlier_facts_and_leaves_live_scores_alone(
    entry: Entry, house: House, rows: Rows
) -> None:
    number = await create_shop(entry.database, entry.root, name="history", pinned_as_of=AS_OF)
    told = _Story(entry, house, await entry.shops.get(number))
    await told.register([24 * 500] * 6)
    facts = [
        {"person": n % 5, "age": 24 * (17 * n % 400), "fen": 100 * n, "refund": None, "closed": False}
        for n in range(1, 40)
    ]
    await told.tell(facts)
    await told.full_run()
    live = await _stored(rows, told.shop)
    earlier = AS_OF - timedelta(days=120)
    async with entry.shop(told.shop.id) as (db, shop):
        job = await rescore.request(db, shop, as_of=earlier)
    await told.refresh()
    assert await _stored(rows, told.shop) == live
    names = ", ".join([*STATS, *SCORES])
    snapshot = await rows(
        f"select customer_id, {names} from score_snapshots where shop_id = $1 and run_id = $2",  # noqa: S608
        told.shop.id,
        job["arguments"]["run_id"],
    )
    run = oracle.cuts([oracle.stats(p, earlier, told.shop.zone) for p in told.people.values()], earlier)
    expected = {}
    for name, person in told.people.items():
        s = oracle.stats(person, earlier, told.shop.zone)
        expected[told.numbers[name]] = (*(getattr(s, c) for c in STATS), *oracle.scores(s, run, earlier))
    assert {row["customer_id"]: tuple(row.values())[1:] for row in snapshot} == expected


@pytest.mark.parametrize("crash_after", [1, 2, 3])
async def test_a_full_run_whose_worker_died_is_resumed(
    entry: Entry, house: House, rows: Rows, crash_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of two customers; the worker dies after some; another goes on from there and the rows are right."""
    monkeypatch.setattr(rescore, "CHUNK", 2)
    number = await create_shop(entry.database, entry.root, name="history", pinned_as_of=AS_OF)
    told = _Story(entry, house, await entry.shops.get(number))
    await told.register([24 * 100] * 6)
    await told.tell([{"person": n % 6, "age": 24 * n, "fen": n, "refund": None, "closed": False} for n in range(1, 30)])
    await told.refresh()
    chunks = 0
    real = rescore._chunk

    async def dying(*arguments: Any) -> list[int]:
        nonlocal chunks
        chunks += 1
        if chunks == crash_after:
            raise asyncio.CancelledError  # as when the process is killed: nothing is written any more
        return await real(*arguments)

    async with entry.shop(told.shop.id) as (db, shop):
        await rescore.request(db, shop)
    monkeypatch.setattr(rescore, "_chunk", dying)
    with pytest.raises(asyncio.CancelledError):
        await told.refresh()
    monkeypatch.setattr(rescore, "_chunk", real)
    await rows("update queued_jobs set due_at = now() where shop_id = $1 returning 1", told.shop.id)
    await told.refresh()
    (job,) = await rows("select state, attempt, crashes, done, total from queued_jobs where shop_id = $1", number)
    assert job == {"state": "done", "attempt": 2, "crashes": 0, "done": 12, "total": 12}
    assert await _stored(rows, told.shop) == told.expected(told.cuts())
