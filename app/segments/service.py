"""What a shop can ask of its customers by rules: how many, who for example, and why."""

import asyncio
from typing import Any, NamedTuple

from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection
from app.customers import service as customers
from app.customers.errors import CustomerNotFound
from app.segments import repository
from app.segments.patience import hastily, patiently
from app.segments.rules import compiling, explaining
from app.segments.rules.checking import Checked, check
from app.segments.rules.explaining import Explanation
from app.segments.rules.making import Asking
from app.segments.rules.tree import Place
from app.segments.rules.windows import Moment


class Found(NamedTuple):
    """How many meet a rule, and the numbers of the newest of them."""

    customers: int
    sample: list[int]
    asking: Asking


async def find(db: Connection, shop: Shop, rule: Any, *, unmasked: bool, sample: int) -> Found:
    """Who meets a rule now.

    Raises: RuleUnfit, ScopeMissing, RuleTooCostly.
    """
    checked = await check(db, shop, rule, unmasked=unmasked)
    async with patiently(db):
        asking = await asked_now(db, shop, checked)
        # A rule of two hundred conditions takes seconds to be made, and others are waiting.
        compiled = await asyncio.to_thread(compiling.found, checked)
        values = compiled.values(asking)
        row = await hastily(db, lambda: repository.ask(db, compiled.statement, shop_id=shop.id, limit=sample, **values))
    return Found(row["customers"], list(row["sample"]), asking)


async def explain(
    db: Connection, shop: Shop, rule: Any, customer_id: int, *, unmasked: bool
) -> tuple[int, Asking, Explanation]:
    """Why a customer meets a rule now, or does not: who answers for the number, when, and what each condition says.

    Raises: CustomerNotFound, RuleUnfit, ScopeMissing, RuleTooCostly.
    """
    checked = await check(db, shop, rule, unmasked=unmasked)
    customer_id = await customers.answering(db, shop, customer_id)
    async with patiently(db):
        asking = await asked_now(db, shop, checked)
        explanation = await explaining.explain(db, shop.id, asking, customer_id)
    if explanation is None:
        raise CustomerNotFound(field="customer_id")
    return customer_id, asking, explanation


async def asked_now(db: Connection, shop: Shop, checked: Checked) -> Asking:
    """The rule asked at this moment, by shares of the customers as they are now."""
    return Asking(Moment(clock.now(), shop.zone), checked, await measured(db, shop.id, checked))


async def measured(db: Connection, shop_id: int, checked: Checked) -> dict[Place, float | None]:
    """The values that the rule's shares begin or end at, of the customers as they are now."""
    shares = await asyncio.to_thread(compiling.shares, checked)
    if shares is None:
        return {}
    compiled, places = shares
    row = await repository.ask(db, compiled.statement, shop_id=shop_id)
    return dict(zip(places, row.values(), strict=True))
