"""Record what uses a thing, and refuse to drop what is used.

Whoever drops a thing locks its row FOR UPDATE first and then asks `refuse_used`; whoever uses one holds its row FOR KEY
SHARE while it is recorded. So either the drop finds the use, or the user finds that the thing is gone.
"""

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

from app.core.db import Connection
from app.uses import repository
from app.uses.errors import StillUsed

Thing = Literal["tag", "attribute", "event_type", "segment", "tier", "store"]

_MOST_TOLD: Final = 20


class User(NamedTuple):
    """What uses a thing: a segment, a journey, by its number, with the name that people call it."""

    kind: str
    id: int
    name: str


async def record(db: Connection, shop_id: int, user: User, things: Collection[tuple[str, str]]) -> None:
    """These things, as kind and name, are all that the user uses from now on; may run twice.

    The caller holds the row of each of them FOR KEY SHARE. A tag's name is its number as text.
    """
    wanted = sorted(set(things))
    await db.execute(
        repository.RECORD,
        shop_id=shop_id,
        user_kind=user.kind,
        user_id=user.id,
        user_name=user.name,
        things=[thing for thing, _ in wanted],
        names=[name for _, name in wanted],
    )


async def by(db: Connection, shop_id: int, kind: str, id_: int) -> set[tuple[str, str]]:
    """What somebody uses, as kind and name."""
    rows = await db.fetch(repository.BY, shop_id=shop_id, user_kind=kind, user_id=id_)
    return {(row["thing"], row["name"]) for row in rows}


async def rename(db: Connection, shop_id: int, user: User) -> None:
    """The user is called otherwise from now on."""
    values = {"user_kind": user.kind, "user_id": user.id, "user_name": user.name}
    await db.execute(repository.RENAME, shop_id=shop_id, **values)


async def forget(db: Connection, shop_id: int, kind: str, id_: int) -> None:
    """The user uses nothing any more; may run twice."""
    await db.execute(repository.FORGET, shop_id=shop_id, user_kind=kind, user_id=id_)


async def of(db: Connection, shop_id: int, thing: Thing, name: str) -> list[User]:
    """What uses a thing, by kind and number."""
    return (await of_many(db, shop_id, thing, [name]))[name]


async def of_many(db: Connection, shop_id: int, thing: Thing, names: Collection[str]) -> dict[str, list[User]]:
    """What uses each of these things, by their names: an empty list where nothing does."""
    found: dict[str, list[User]] = {name: [] for name in names}
    if found:
        for row in await db.fetch(repository.OF, shop_id=shop_id, thing=thing, names=list(found)):
            found[row["name"]].append(User(row["user_kind"], row["user_id"], row["user_name"]))
    return found


async def refuse_used(db: Connection, shop_id: int, thing: Thing, name: str) -> None:
    """Nothing uses it, and nothing will while the caller holds its row FOR UPDATE. Raises StillUsed."""
    users = await of(db, shop_id, thing, name)
    if not users:
        return
    first, more = users[0], len(users) - 1
    others = f" and {more} more" if more else ""
    raise StillUsed(
        f"The {first.kind} {first.name} (number {first.id}){others} would lose it: change or delete what uses it first",
        used_by=[user._asdict() for user in users[:_MOST_TOLD]],
    )
