"""Who the rows of a file are about, where they must be there already."""

from collections.abc import Sequence

from app.access.shops import Shop
from app.core.db import Connection
from app.customers import repository
from app.customers.service import value_hash
from app.imports.person_rows import Person


async def owners(db: Connection, shop: Shop, rows: Sequence[Person]) -> list[set[int]]:
    """For each row the customers who are there and whom it names: none, one, or two that contradict each other."""
    keys = [[(each.kind, value_hash(shop, each)) for each in row.identities] for row in rows]
    wanted = sorted({key for found in keys for key in found})
    numbers = sorted({row.customer_id for row in rows if row.customer_id is not None})
    held = {}
    if wanted:
        kinds, hashes = zip(*wanted, strict=True)
        found = await repository.owners(db, shop.id, kinds, hashes)
        held = {(row["kind"], row["value_hash"]): int(row["customer_id"]) for row in found}
    # Who was merged away is the person they are now, by number as by identity.
    answers = await repository.owners_of(db, shop.id, numbers) if numbers else {}
    return [
        {held[key] for key in found if key in held}
        | ({answers[row.customer_id]} if row.customer_id is not None and row.customer_id in answers else set())
        for row, found in zip(rows, keys, strict=True)
    ]
