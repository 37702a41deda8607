"""Refresh, sweep, full run and a plain-Python oracle give the same rows for one day and one published run."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access import repository as access
from app.access.entry import Entry
from app.access.settings import InteractionSettings, ShopSettings
from app.access.shops import Shop, create_shop
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.merging import service as merging
from app.customers.schemas import IdentityWrite
from app.customers.service import Write
from app.events import service as events
from app.events.schemas import EventWrite
from app.orders import service as orders
from app.orders.schemas import OrderItem, OrderWrite, RefundWrite
from app.refresh import requests, rescore
from app.refresh.jobs import sweep_day
from app.scoring.facts import STATS
from app.scoring.judging import SCORED
from app.scoring.tiers import service as tiers
from app.scoring.tiers.definition import Condition, Definition, Tier
from app.scoring.tiers.schemes import VALUE
from tests.conftest import Rows
from tests.scoring import oracle
from tests.scoring.oracle import Item, Order, Person
from workers.house import House

AS_OF = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 00:00 of that day in Shanghai

# Hours before midnight: around today, the windows' edges and after the day itself.
_edges = sorted({0, 7, 30, 31, 60, 90, 91, 120, 150, 180, 181, 365, 366})
_ages = st.one_of(
    st.integers(-60, 60),
    st.sampled_from([24 * days + hours for days in _edges for hours in (-1, 0, 1)]),
    st.integers(0, 24 * 800),
)
_item = st.builds(
    Item,
    sku=st.sampled_from([None, "S1", "S2", "S3"]),
    category=st.sampled_from([None, "茶", "coffee"]),
    quantity=st.integers(1, 3),
    price_fen=st.integers(0, 300),
)
_order = st.fixed_dictionaries(
    {
        "fact": st.just("order"),
        "person": st.integers(0, 5),
        "age": _ages,
        "fen": st.integers(0, 500),
        "closed": st.booleans() | st.just(False),
        "discount": st.just(0) | st.integers(0, 300),
        "store": st.sampled_from([None, 1, 2]),
        "channel": st.sampled_from([None, "pos", "mall"]),
        "items": st.lists(_item, max_size=3),
    }
)
_refund = st.fixed_dictionaries(
    {"fact": st.just("refund"), "of": st.integers(0, 9), "age": _ages, "fen": st.integers(0, 500)}
)
_event = st.fixed_dictionaries(
    {
        "fact": st.just("event"),
        "person": st.integers(0, 5),
        "age": _ages,
        "type": st.sampled_from(["view", "cart", "favourite", "consult", "visit", "campaign_response"]),
    }
)
_facts = st.lists(st.one_of(_order, _order, _refund, _event, _event), max_size=12)
_step = st.one_of(
    st.tuples(st.just("tell"), _facts),
    st.tuples(st.just("days"), st.one_of(st.integers(1, 3), st.sampled_from([30, 90, 200]))),
    st.tuples(st.just("days"), st.sampled_from([-40, -1])),
    st.tuples(st.just("merge"), st.tuples(st.integers(0, 5), st.integers(0, 5))),
    st.tuples(st.just("reverse"), st.integers(0, 5)),
    st.tuples(st.just("tiers"), st.sampled_from(["value", "plain"])),
    st.tuples(st.just("kinds"), st.booleans()),
    st.tuples(st.just("run"), st.none()),
)
_counter = itertools.count()
_PLAIN = Definition(
    name="plain",
    tiers=(
        Tier(name="rich", label="rich", when=(Condition(field="net_fen", at_least=500),)),
        Tier(name="quiet", label="quiet", when=(Condition(field="silent_days", more_than=60),)),
        Tier(name="rest", label="rest"),
    ),
)
_OTHER_KINDS = {"consult": ["visit"], "visit": [], "social": ["view"], "view": ["campaign_response"]}


class _Story:
    """One shop told the same facts as the oracle's people."""

    def __init__(self, entry: Entry, house: House, shop: Shop) -> None:
        self.entry, self.house, self.shop = entry, house, shop
        self.as_of = AS_OF
        self.ids = CustomerIds()
        self.people: dict[int, Person] = {}
        self.numbers: dict[int, int] = {}
        self.created: dict[int, datetime] = {}
        self.owners: dict[int, int] = {}
        self.orders: list[str] = []
        self.merges: list[Any] = []
        self.settings: dict[str, Any] = {}
        self.tiers = "value"
        self.kinds: dict[str, str] = oracle.DEFAULT_KINDS

    async def register(self, hours_before: list[int]) -> None:
        """Six people, of whom some never buy; two can be reached, and came from a source that is worth points."""
        await self.set({"leads": {"sources": {"3": 25}}})
        for name, hours in enumerate(hours_before):
            created_at, reached = MIDNIGHT - timedelta(hours=hours), name > 3
            told = [self._identity(name)]
            if reached:
                told.append(IdentityWrite(kind="mobile", value=f"1390000000{name}"))
            write = Write(told, {"source_channel": 3} if reached else {}, created_at=created_at)
            async with self.entry.shop(self.shop.id) as (db, shop):
                (outcome,) = await customers.upsert(db, shop, self.ids, [write])
            self.people[name] = Person(created_at, has_mobile=reached, has_source=reached)
            number = outcome.customer_id or 0
            self.numbers[name], self.created[number], self.owners[number] = number, created_at, number

    @staticmethod
    def _identity(name: int) -> IdentityWrite:
        return IdentityWrite(kind="external_id", value=f"P{name}")

    async def tell(self, facts: list[dict[str, Any]]) -> None:
        """Orders, refunds and events, one transaction each."""
        for fact in facts:
            at = MIDNIGHT - timedelta(hours=fact["age"])
            match fact["fact"]:
                case "refund":
                    await self._refund(fact, at)
                case "event":
                    await self._event(fact, at)
                case _:
                    await self._order(fact, at)

    async def _refund(self, fact: dict[str, Any], at: datetime) -> None:
        if not self.orders:
            return
        number = self.orders[fact["of"] % len(self.orders)]
        owner = next(p for p in self.people.values() if any(o.number == number for o in p.orders))
        owner.refunds.append((number, at, fact["fen"]))
        refund = RefundWrite(refund_no=f"R{next(_counter)}", order_no=number, amount_fen=fact["fen"], refunded_at=at)
        async with self.entry.shop(self.shop.id) as (db, shop):
            await orders.put_refunds(db, shop, [refund])

    async def _event(self, fact: dict[str, Any], at: datetime) -> None:
        self.people[fact["person"]].events.append((at, fact["type"]))
        event = EventWrite(
            event_id=f"E{next(_counter)}",
            type=fact["type"],
            identities=[self._identity(fact["person"])],
            occurred_at=at,
        )
        async with self.entry.shop(self.shop.id) as (db, shop):
            await events.put_events(db, shop, self.ids, [event])

    async def _order(self, fact: dict[str, Any], at: datetime) -> None:
        number = f"O{next(_counter)}"
        self.orders.append(number)
        told = Order(
            number=number,
            at=at,
            fen=fact["fen"],
            closed=fact["closed"],
            discount_fen=fact["discount"],
            store=fact["store"],
            channel=fact["channel"],
            items=fact["items"],
        )
        self.people[fact["person"]].orders.append(told)
        order = OrderWrite(
            order_no=number,
            identities=[self._identity(fact["person"])],
            paid_at=at,
            amount_fen=told.fen,
            discount_fen=told.discount_fen,
            store_id=told.store,
            channel=told.channel,
            status="closed" if told.closed else "paid",
            items=[
                OrderItem(sku=i.sku, category=i.category, quantity=i.quantity, price_fen=i.price_fen)
                for i in told.items
            ],
        )
        async with self.entry.shop(self.shop.id) as (db, shop):
            await orders.put_orders(db, shop, self.ids, [order])

    async def merge(self, one: int, other: int) -> None:
        """Two of the people, unless they are one already."""
        first, second = self.numbers[one], self.numbers[other]
        if self.owners[first] == self.owners[second]:
            return
        async with self.entry.shop(self.shop.id) as (db, shop):
            self.merges.append((await merging.merge(db, shop, first, second, "test"))["id"])
        await self._see_owners()

    async def reverse(self, place: int) -> None:
        """One of the merges that were made."""
        if not self.merges:
            return
        async with self.entry.shop(self.shop.id) as (db, shop):
            await merging.reverse(db, shop, self.merges[place % len(self.merges)], "test")
        await self._see_owners()

    async def _see_owners(self) -> None:
        rows = await self._rows("select id, coalesce(merged_into, id) as owner from customers where shop_id = $1")
        self.owners = {row["id"]: row["owner"] for row in rows}

    async def _rows(self, query: str) -> list[Any]:
        raise NotImplementedError

    async def pass_days(self, days: int) -> None:
        """The shop's day moves on, and the sweep looks at it."""
        self.as_of += timedelta(days=days)
        async with self.entry.shop(self.shop.id) as (db, _):
            await db.execute(access.PIN_SHOP, shop=self.shop.id, pinned_as_of=self.as_of)
        self._forget()
        await sweep_day(self.entry, self.shop.id)

    def _forget(self) -> None:
        for entry in (self.entry, self.house.entry):
            entry.shops.forget(self.shop.id)

    async def set(self, scoring: dict[str, Any]) -> None:
        """Settings of the shop's scores, beside those that are set."""
        self.settings = self.settings | scoring
        told = ShopSettings.model_validate({"scoring": self.settings})
        async with self.entry.shop(self.shop.id) as (db, _):
            await db.execute(access.SET_SETTINGS, shop=self.shop.id, settings=told.model_dump(mode="json"))
        self._forget()

    async def publish(self, tiers_: str) -> None:
        """A definition of tiers, and the full run that follows it."""
        async with self.entry.shop(self.shop.id) as (db, shop):
            await tiers.publish(db, shop.id, VALUE if tiers_ == "value" else _PLAIN, None)
        self.tiers = tiers_
        await self.full_run()

    async def count_as(self, *, otherwise: bool) -> None:
        """What events count as, and the full run that follows."""
        await self.set({"interactions": _OTHER_KINDS if otherwise else {}})
        self.kinds = InteractionSettings.model_validate(_OTHER_KINDS if otherwise else {}).kinds()
        await self.full_run()

    async def full_run(self) -> None:
        """Ask for one and do it."""
        async with self.entry.shop(self.shop.id) as (db, shop):
            await requests.rescore(db, shop)
        await self.refresh()

    async def refresh(self) -> None:
        """Whatever is due."""
        await self.house.rounds.until_idle(self.shop.id)

    def whole(self) -> dict[int, Person]:
        """Customer to everything that belongs to them after the merges that stand."""
        found: dict[int, Person] = {}
        for name, person in self.people.items():
            owner = self.owners[self.numbers[name]]
            found[owner] = found[owner].joined(person) if owner in found else person
        return found

    def stats(self, as_of: date | None = None) -> dict[int, dict[str, Any]]:
        """By the oracle."""
        return {
            number: oracle.stats(person, as_of or self.as_of, self.shop.zone, self.created[number], self.kinds)
            for number, person in self.whole().items()
        }

    def expected(
        self, run: oracle.Cuts | None, as_of: date | None = None, types_by: str = "mean"
    ) -> dict[int, dict[str, Any]]:
        """Stats and scores by the oracle."""
        people = self.whole()
        return {
            number: s
            | oracle.scores(
                s,
                run,
                as_of or self.as_of,
                has_mobile=people[number].has_mobile,
                source_points=25 if people[number].has_source else 10,
                types_by=types_by,
                tiers=self.tiers,
            )
            for number, s in self.stats(as_of).items()
        }

    def cuts(self, method: str = "cut_points", types_by: str = "mean") -> oracle.Cuts:
        """By the oracle, of the facts so far."""
        return oracle.cuts(list(self.stats().values()), self.as_of, method, types_by)


async def _stored(rows: Rows, shop: Shop) -> dict[int, dict[str, Any]]:
    names = ", ".join([f"s.{name}" for name in STATS] + [f"k.{name}" for name in SCORED])
    found = await rows(
        f"select s.customer_id, {names} from customer_stats s "  # noqa: S608 column names of ours
        "left join customer_scores k using (shop_id, customer_id) where s.shop_id = $1",
        shop.id,
    )
    return {row["customer_id"]: {name: row[name] for name in (*STATS, *SCORED)} for row in found}


async def _shop(entry: Entry, house: House, rows: Rows) -> _Story:
    number = await create_shop(entry.database, entry.root, name="history", pinned_as_of=AS_OF)
    story = _Story(entry, house, await entry.shops.get(number))

    async def ask(query: str) -> list[Any]:
        return list(await rows(query, number))

    story._rows = ask  # type: ignore[method-assign]
    return story


async def test_refresh_sweep_full_run_and_oracle_agree(entry: Entry, house: House, rows: Rows) -> None:
    loop = asyncio.get_running_loop()

    async def story(registered: list[int], first: list[dict[str, Any]], steps: list[tuple[str, Any]]) -> None:
        told = await _shop(entry, house, rows)
        await told.register(registered)
        await told.tell(first)
        await told.refresh()
        assert await _stored(rows, told.shop) == told.expected(None), "before anything is published"
        await told.full_run()
        published = told.cuts()
        assert await _stored(rows, told.shop) == told.expected(published), "after the full run"
        for what, argument in steps:
            match what:
                case "tell":
                    await told.tell(argument)
                case "days":
                    await told.pass_days(argument)
                case "merge":
                    await told.merge(*argument)
                case "reverse":
                    await told.reverse(argument)
                case "tiers":
                    await told.publish(argument)
                case "kinds":
                    await told.count_as(otherwise=argument)
                case _:
                    await told.full_run()
            if what in ("run", "tiers", "kinds") or (what == "days" and argument < 0):
                await told.refresh()
                published = _kept(published, told.cuts())
            await told.refresh()
            assert await _stored(rows, told.shop) == told.expected(published), f"after {what}, as of {told.as_of}"
        await told.full_run()
        assert await _stored(rows, told.shop) == told.expected(_kept(published, told.cuts())), "after the last full run"

    @settings(max_examples=40)
    @given(
        registered=st.lists(_ages, min_size=6, max_size=6),
        first=_facts,
        steps=st.lists(_step, max_size=5),
    )
    def check(registered: list[int], first: list[dict[str, Any]], steps: list[tuple[str, Any]]) -> None:
        asyncio.run_coroutine_threadsafe(story(registered, first, steps), loop).result(120)

    await asyncio.to_thread(check)


def _kept(former: oracle.Cuts, now: oracle.Cuts) -> oracle.Cuts:
    """The shop's cycle stays where it has moved by no more than a twentieth."""
    if not former.cycle_days or not now.cycle_days:
        return now
    if abs(now.cycle_days - former.cycle_days) > 0.05 * former.cycle_days:
        return now
    return replace(now, cycle_days=former.cycle_days)


@pytest.mark.parametrize("types_by", ["mean", "median", "score"])
@pytest.mark.parametrize("method", ["cut_points", "cume_dist"])
async def test_other_ways_to_score_agree_with_the_oracle(
    entry: Entry, house: House, rows: Rows, method: str, types_by: str
) -> None:
    told = await _shop(entry, house, rows)
    await told.register([24 * 500] * 6)
    await told.set({"rfm": {"method": method, "types_by": types_by}})
    await told.tell(_some_orders(30))
    await told.full_run()
    run = told.cuts(method, types_by)
    assert await _stored(rows, told.shop) == told.expected(run, types_by=types_by)
    await told.tell(_some_orders(7))
    await told.refresh()
    assert await _stored(rows, told.shop) == told.expected(run, types_by=types_by)


def _some_orders(count: int) -> list[dict[str, Any]]:
    plain = {"fact": "order", "closed": False, "discount": 0, "store": None, "channel": None, "items": []}
    return [plain | {"person": n % 5, "age": 24 * (17 * n % 400), "fen": 100 * n} for n in range(1, count)]


async def test_an_as_of_run_counts_earlier_facts_and_leaves_live_scores_alone(
    entry: Entry, house: House, rows: Rows
) -> None:
    told = await _shop(entry, house, rows)
    await told.register([24 * 500] * 6)
    await told.tell(_some_orders(40))
    await told.full_run()
    live = await _stored(rows, told.shop)
    earlier = AS_OF - timedelta(days=120)
    async with entry.shop(told.shop.id) as (db, shop):
        job = await requests.rescore(db, shop, as_of=earlier)
    await told.refresh()
    assert await _stored(rows, told.shop) == live
    names = [*STATS, *(name for name in SCORED if name != "cycle_turns_on")]
    snapshot = await rows(
        f"select customer_id, {', '.join(names)} from score_snapshots where shop_id = $1 and run_id = $2",  # noqa: S608
        told.shop.id,
        job["arguments"]["run_id"],
    )
    then = told.stats(earlier)
    run = oracle.cuts(list(then.values()), earlier)
    expected = told.expected(run, earlier)
    assert {row["customer_id"]: {name: row[name] for name in names} for row in snapshot} == {
        number: {name: found[name] for name in names} for number, found in expected.items()
    }


@pytest.mark.parametrize("crash_after", [1, 2, 3])
async def test_a_full_run_whose_worker_died_is_resumed(
    entry: Entry, house: House, rows: Rows, crash_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of two customers; the worker dies after some; another goes on from there and the rows are right."""
    monkeypatch.setattr(rescore, "CHUNK", 2)
    told = await _shop(entry, house, rows)
    await told.register([24 * 100] * 6)
    await told.tell(_some_orders(30))
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
        await requests.rescore(db, shop)
    monkeypatch.setattr(rescore, "_chunk", dying)
    with pytest.raises(asyncio.CancelledError):
        await told.refresh()
    monkeypatch.setattr(rescore, "_chunk", real)
    await rows("update queued_jobs set due_at = now() where shop_id = $1 returning 1", told.shop.id)
    await told.refresh()
    (job,) = await rows("select state, attempt, crashes, done, total from queued_jobs where shop_id = $1", told.shop.id)
    assert job == {"state": "done", "attempt": 2, "crashes": 0, "done": 12, "total": 12}
    assert await _stored(rows, told.shop) == told.expected(told.cuts())
