"""What merging, export and erasure do to a table's rows about a person: said where the table is described."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Table


@dataclass(frozen=True, slots=True)
class PersonRows:
    """What happens to a table's rows about a person.

    merge: `follow`: rows keep the customer whom they came in for (`origin_customer_id`) and move to whoever owns them
        now; `derived`: computed again from rows that moved; `stay`: about one customer record, merged or not.
    export: under which name a person's copy shows them; None where they say nothing that is not shown elsewhere.
    erase: `delete`: they go; `keep`: they stay, because without the person's key and identities they name nobody.
    """

    merge: Literal["follow", "derived", "stay"]
    export: str | None
    erase: Literal["delete", "keep"]


def rows_about_people(tables: Iterable[Table]) -> dict[Table, PersonRows]:
    """Those of the tables that say what becomes of their rows."""
    return {table: table.info["person"] for table in tables if isinstance(table.info.get("person"), PersonRows)}
