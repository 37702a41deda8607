"""Random creates, links, orders, merges and reversals against a model that computes everything from what was told."""

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.merging import service as merging
from app.customers.merging.errors import AlreadyOneCustomer
from app.customers.schemas import IdentityWrite
from app.customers.service import Write
from app.orders import service as orders
from app.orders.schemas import OrderWrite
from app.tags import service as tags
from app.tags.repository import of_customers
from tests.conftest import Rows
from tests.customers.model import Label, Model, Told
from workers.house import House

_labels = st.lists(
    st.tuples(st.sampled_from(["card_no", "external_id"]), st.integers(1, 5)), min_size=1, max_size=3, unique=True
)
_names = itertools.count()


def identity(label: Label) -> IdentityWrite:
    return IdentityWrite(kind=label[0], value=f"N{label[1]}")


class Ground:
    """One shop, told the same as its model."""

    def __init__(self, entry: Entry, house: House, rows: Rows, shop: Shop) -> None:
        self.entry, self.house, self.rows, self.shop = entry, house, rows, shop
        self.model, self.ids = Model(), CustomerIds()
        self.numbers = itertools.count()

    async def tell(self, labels: list[Label], name: str | None, number: str | None) -> None:
        """A customer, or an order of one."""
        identities = [identity(label) for label in labels]
        expected, joined = self.model.write(labels, name)
        async with self.entry.shop(self.shop.id) as (db, shop):
            if number is None:
                fields = {} if name is None else {"name": name}
                (outcome,) = await customers.upsert(db, shop, self.ids, [Write(identities, fields)])
            else:
                order = OrderWrite(order_no=number, identities=identities, amount_fen=1, status="created")
                (outcome,) = await orders.put_orders(db, shop, self.ids, [order])
        assert outcome.customer_id is not None
        model = self.model
        if expected is None:
            model.records[outcome.customer_id] = Told(len(model.records))
            expected = outcome.customer_id
        edges = await self.rows(
            "select id, customer_id, other_id from merges where shop_id = $1 and reversed_at is null", self.shop.id
        )
        fresh = [(row["customer_id"], row["other_id"]) for row in edges if str(row["id"]) not in model.edges]
        assert sorted(fresh) == sorted(joined)
        model.edges |= {str(row["id"]): (row["customer_id"], row["other_id"]) for row in edges}
        model.told(labels, expected, name)
        if number is not None:
            model.orders[number] = model.mine(labels, expected)
        assert outcome.customer_id == model.owner(expected)

    async def merge(self, one: int, other: int) -> None:
        """By request."""
        async with self.entry.shop(self.shop.id) as (db, shop):
            try:
                edge = await merging.merge(db, shop, one, other, "someone")
            except AlreadyOneCustomer:
                assert self.model.cluster(one) == self.model.cluster(other)
                return
        self.model.edges[str(edge["id"])] = (one, other)

    async def reverse(self, edge: str) -> None:
        """One that stands."""
        async with self.entry.shop(self.shop.id) as (db, shop):
            _, owners = await merging.reverse(db, shop, UUID(edge), "someone")
        pair = self.model.edges.pop(edge)
        self.model.reversed.add(pair)
        assert owners == {end: self.model.owner(end) for end in pair}

    async def tag(self, record: int, name: str) -> None:
        """On one of a person's records."""
        async with self.entry.shop(self.shop.id) as (db, shop):
            await tags.add(db, shop.id, {record: [name]}, source="manual", actor="someone")
        self.model.records[record].tags.add(name)

    async def there_and_back(self, one: int, other: int) -> None:
        """A merge that is taken back leaves everything as it was."""
        before = await self.picture()
        await self.merge(one, other)
        if (edge := list(self.model.edges)[-1:]) and await self.picture() != before:
            await self.reverse(edge[0])
            assert await self.picture() == before

    async def picture(self) -> list[Any]:
        """What there is, but for when it was last changed."""
        customers_ = """
            select id, name is null as unnamed, mobile, merged_into, members, merged_at, created_at
            from customers where shop_id = $1 order by id
        """
        found = [await self.rows(customers_, self.shop.id)]
        for table, key in (("identities", "kind, value_hash"), ("orders", "order_no")):
            found.append(await self.rows(f"select * from {table} where shop_id = $1 order by {key}", self.shop.id))  # noqa: S608
        held = "select customer_id, tag_id, origin_customer_id from customer_tags where shop_id = $1 order by 1, 2, 3"
        found.append(await self.rows(held, self.shop.id))
        found.append(
            await self.rows("select customer_id from own_profiles where shop_id = $1 order by 1", self.shop.id)
        )
        return found

    async def check(self) -> None:
        """Rows are what the model computes."""
        model, shop_id = self.model, self.shop.id
        stored = {row["id"]: row for row in await self.rows("select * from customers where shop_id = $1", shop_id)}
        assert stored.keys() == model.records.keys()
        for record, row in stored.items():
            owner = model.owner(record)
            assert (row["merged_into"] or record) == owner, (record, row["merged_into"], owner)
            assert row["members"] == (len(model.cluster(record)) if record == owner else 1)
        live = await self.rows("select id from merges where shop_id = $1 and reversed_at is null", shop_id)
        assert {str(row["id"]) for row in live} == model.edges.keys()
        assert len(live) == len(model.records) - len(model.clusters()), "no cycle"
        held = await self.rows("select * from identities where shop_id = $1", shop_id)
        assert sorted((row["origin_customer_id"], row["customer_id"]) for row in held) == sorted(
            (record, model.owner(record)) for record in model.holders.values()
        )
        placed = await self.rows(
            "select order_no, customer_id, origin_customer_id from orders where shop_id = $1", shop_id
        )
        assert {row["order_no"]: (row["origin_customer_id"], row["customer_id"]) for row in placed} == {
            number: (record, model.owner(record)) for number, record in model.orders.items()
        }
        async with self.entry.shop(shop_id) as (db, shop):
            for cluster in model.clusters():
                owner = model.owner(next(iter(cluster)))
                for record in cluster:
                    seen = await customers.get(db, shop, record)
                    assert (seen.id, seen.profile["name"]) == (owner, model.name(record))
                carried = await of_customers(db, shop_id, [owner])
                assert {tag["name"] for tag in carried} == model.tags(owner)

    async def check_counted(self) -> None:
        """What the refresh makes of it: nobody who is merged has stats, and everybody else has."""
        await self.house.rounds.until_idle(self.shop.id)
        stats = await self.rows("select customer_id from customer_stats where shop_id = $1 order by 1", self.shop.id)
        people = sorted({self.model.owner(record) for record in self.model.records})
        assert [row["customer_id"] for row in stats] == people
        totals = await self.rows("select customers from customer_totals where shop_id = $1", self.shop.id)
        assert (totals[0]["customers"] if totals else 0) == len(people)


@pytest.mark.parametrize(
    "stories", [20, pytest.param(2000, marks=[pytest.mark.faults_long, pytest.mark.timeout(7200)], id="long")]
)
async def test_the_model_and_the_rows_agree_after_every_step(
    entry: Entry, house: House, rows: Rows, stories: int
) -> None:
    loop = asyncio.get_running_loop()

    def now(step: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(step, loop).result()

    async def open_ground() -> Ground:
        number = await create_shop(entry.database, entry.root, name=f"machine {next(_names)}")
        return Ground(entry, house, rows, await entry.shops.get(number))

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.ground: Ground = now(open_ground())

        @property
        def records(self) -> list[int]:
            return list(self.ground.model.records)

        @rule(labels=_labels, name=st.one_of(st.none(), st.sampled_from("甲乙丙")))
        def write(self, labels: list[Label], name: str | None) -> None:
            now(self.ground.tell(labels, name, None))

        @rule(labels=_labels)
        def order(self, labels: list[Label]) -> None:
            now(self.ground.tell(labels, None, f"O{next(self.ground.numbers)}"))

        @precondition(lambda self: len(self.records) > 1)
        @rule(data=st.data())
        def merge(self, data: st.DataObject) -> None:
            one, other = data.draw(st.permutations(self.records))[:2]
            now(self.ground.merge(one, other))

        @precondition(lambda self: len(self.records) > 1)
        @rule(data=st.data())
        def merge_and_take_back(self, data: st.DataObject) -> None:
            one, other = data.draw(st.permutations(self.records))[:2]
            now(self.ground.there_and_back(one, other))

        @precondition(lambda self: self.ground.model.edges)
        @rule(data=st.data())
        def reverse(self, data: st.DataObject) -> None:
            now(self.ground.reverse(data.draw(st.sampled_from(sorted(self.ground.model.edges)))))

        @precondition(lambda self: self.records)
        @rule(data=st.data(), name=st.sampled_from(["tea", "wine"]))
        def tag(self, data: st.DataObject, name: str) -> None:
            now(self.ground.tag(data.draw(st.sampled_from(self.records)), name))

        @rule()
        def refresh(self) -> None:
            now(self.ground.check_counted())

        @invariant()
        def agree(self) -> None:
            now(self.ground.check())

        def teardown(self) -> None:
            now(self.ground.check_counted())

    # A story takes a second: what fails is told as it was found, not made smaller first.
    told_once = [Phase.explicit, Phase.reuse, Phase.generate]
    limits = settings(max_examples=stories, stateful_step_count=25, deadline=None, phases=told_once)
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=limits)
