"""What the makers of conditions share: the customer, the shop, whose facts, and values that come with the asking."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    any_,
    bindparam,
    exists,
    select,
    true,
)
from sqlalchemy.types import TypeEngine

from app.customers.models import customers
from app.segments.rules.checking import Checked
from app.segments.rules.tree import Place
from app.segments.rules.windows import TICK, Moment, Window

INSTANT: Final = DateTime(timezone=True)
SHOWN_IDS: Final = 5


class Asking(NamedTuple):
    """What is known only when a rule is asked.

    Args:
        since: from when on flips are looked for, up to the moment; only where that is asked.
        shares: the values that the rule's shares begin or end at, by the condition's place; None where nobody is among
            them.
    """

    moment: Moment
    checked: Checked
    shares: dict[Place, float | None]
    since: Moment | None = None


class Term(NamedTuple):
    """One condition on the customer as SQL.

    Args:
        holds: true for who meets it.
        value: what the customer has to show for it, null for nothing.
        ids: of the facts that count, a few of the newest, as an array; or None.
        sure: `holds` is never null.
    """

    holds: ColumnElement[bool]
    value: ColumnElement[Any]
    ids: ColumnElement[Any] | None = None
    sure: bool = True


class Making:
    """One rule becoming SQL.

    Args:
        few: it is asked of the customers in `:customer_ids`, so facts are looked up by customer and not by time.
        person: the customers whom a statement looks at; it has `id`, and for rules on the profile all columns.
        prefix: of its parameters, where several rules share a statement.
        alone: at most one of its conditions is a set of customers.
    """

    def __init__(
        self,
        checked: Checked,
        *,
        few: bool,
        person: FromClause | None = None,
        prefix: str = "",
        alone: bool = False,
    ) -> None:
        self.checked = checked
        self.few = few
        self.person = customers.alias("c") if person is None else person
        self.prefix = prefix
        self.alone = alone
        self.shop: BindParameter[int] = bindparam("shop_id", type_=BigInteger)
        self.asks: dict[str, Callable[[Asking], Any]] = {}

    def ask(self, name: str, sql_type: TypeEngine[Any], answer: Callable[[Asking], Any]) -> BindParameter[Any]:
        """A parameter whose value is found when the rule is asked."""
        return bindparam(self.name(name, answer), type_=sql_type)

    def name(self, name: str, answer: Callable[[Asking], Any]) -> str:
        """The name of such a parameter, for a statement that is written out."""
        key = f"{self.prefix}{name}_{len(self.asks)}"
        self.asks[key] = answer
        return key

    def instant(self, answer: Callable[[Moment], Any]) -> BindParameter[Any]:
        """The same of an instant that follows from now."""
        return self.ask("instant", INSTANT, lambda asking: answer(asking.moment))

    def until_now(self, column: ColumnElement[Any], window: Window | None) -> list[ColumnElement[bool]]:
        """That a fact lies within the window, and not after now: nothing counts that has yet to come."""
        if window is None:
            return [column < self.instant(lambda moment: moment.now + TICK)]
        return [
            column >= self.instant(lambda moment: window.span(moment).start),
            column < self.instant(lambda moment: min(window.span(moment).before, moment.now + TICK)),
        ]

    def of_the_shop(self, rows: FromClause) -> list[ColumnElement[bool]]:
        """Rows of facts of the people who are asked about."""
        terms: list[ColumnElement[bool]] = [rows.c.shop_id == self.shop]
        if self.few:
            terms.append(self.asked(rows.c.customer_id))
        return terms

    def asked(self, customer_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """One of the customers in `:customer_ids`."""
        return customer_id == any_(bindparam("customer_ids", type_=ARRAY(BigInteger)))

    def is_one_of(self, customer_ids: Select[Any]) -> ColumnElement[bool]:
        """That the customer is in a set, which is found once and hashed.

        As a join, its size would be guessed, and several of them at once so badly that each customer is compared with
        each of a set. `is true` keeps the planner from making one of it. One alone it may join: where few are meant,
        not everybody is looked at.
        """
        among = self.person.c.id.in_(customer_ids)
        return among if self.alone else among.is_(true())

    def has_one(
        self, customer_id: ColumnElement[Any], source: FromClause, terms: Sequence[ColumnElement[bool]]
    ) -> ColumnElement[bool]:
        """That the customer has one of these facts.

        Of everybody it is a join, because few facts may be meant; of some customers a set: where the planner knows
        nothing of the tables yet, a join would walk a whole window for each of them.
        """
        if self.few:
            return self.is_one_of(select(customer_id).select_from(source).where(*terms))
        return exists(select(1).select_from(source).where(*terms, customer_id == self.person.c.id))

    def of_the_person(self, rows: FromClause) -> list[ColumnElement[bool]]:
        """The customer's own rows of a table, or of a query."""
        terms: list[ColumnElement[bool]] = [rows.c.customer_id == self.person.c.id]
        return [*self.of_the_shop(rows), *terms] if "shop_id" in rows.c else terms
