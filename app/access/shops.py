"""A shop as the rest of the house sees it: its zone, its settings, its keys."""

import time
from dataclasses import dataclass
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.access import repository
from app.access.settings import ShopSettings
from app.core import clock
from app.core.crypto import RootKey, ShopKeys
from app.core.db import Database
from app.core.errors import Conflict, NotFound, Unprocessable

FRESH_SECONDS: Final = 10.0
INDEX_KEY: Final = 0  # the version under which the blind-index key is stored


@dataclass(frozen=True, slots=True)
class Shop:
    """One tenant, ready to work with."""

    id: int
    name: str
    zone: ZoneInfo
    settings: ShopSettings
    pinned_as_of: date | None
    keys: ShopKeys

    def live_as_of(self) -> date:
        """The exclusive day that live scores stand at."""
        return clock.live_as_of(self.zone, pinned=self.pinned_as_of)


class Shops:
    """Shops by number, each read again after ten seconds so that a changed setting or key is seen everywhere soon."""

    def __init__(self, database: Database, root: RootKey) -> None:
        self._database = database
        self._root = root
        self._known: dict[int, tuple[float, Shop]] = {}

    async def get(self, shop_id: int) -> Shop:
        """Raises NotFound."""
        known = self._known.get(shop_id)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        shop = await self._read(shop_id)
        self._known[shop_id] = (time.monotonic() + FRESH_SECONDS, shop)
        return shop

    def forget(self, shop_id: int) -> None:
        """Read it again at the next call."""
        self._known.pop(shop_id, None)

    async def ids(self) -> list[int]:
        """Every shop's number."""
        async with self._database.transaction() as db:
            return await repository.shop_ids_with_none_set(db)

    async def _read(self, shop_id: int) -> Shop:
        async with self._database.transaction(shop_id) as db:
            row = await db.fetch_one(repository.GET_SHOP, id=shop_id)
            keys = await db.fetch(repository.SHOP_KEYS, shop_id=shop_id)
        wrapped = {key["version"]: key["wrapped"] for key in keys}
        if row is None or INDEX_KEY not in wrapped:
            raise NotFound(f"There is no shop {shop_id}; make one with: kehu shop create", field="shop_id")
        index_key = wrapped.pop(INDEX_KEY)
        moment = clock.now()
        current = max(key["version"] for key in keys if key["used_from"] <= moment)
        return Shop(
            id=shop_id,
            name=row["name"],
            zone=ZoneInfo(row["timezone"]),
            settings=ShopSettings.model_validate(row["settings"]),
            pinned_as_of=row["pinned_as_of"],
            keys=self._root.open_shop_keys(shop_id, wrapped, index_key, current=current),
        )


async def create_shop(
    database: Database,
    root: RootKey,
    *,
    name: str,
    timezone: str = "Asia/Shanghai",
    shop_id: int | None = None,
    pinned_as_of: date | None = None,
) -> int:
    """Open a shop with a key ring of its own. Returns its number.

    Raises: Unprocessable for an unknown time zone, Conflict when the number is taken.
    """
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Unprocessable(
            f"{timezone!r} is not a time zone; write one such as Asia/Shanghai", field="timezone"
        ) from error
    if shop_id is None:
        async with database.transaction() as db:
            shop_id = int(await db.fetch_value(repository.NEXT_SHOP_ID))
    moment = clock.now()
    async with database.transaction(shop_id) as db:
        added = await db.fetch_value(
            repository.ADD_SHOP, id=shop_id, name=name, timezone=timezone, pinned_as_of=pinned_as_of, created_at=moment
        )
        if added is None:
            raise Conflict(f"Shop {shop_id} exists", field="shop_id")
        data_key, index_key = root.new_shop_keys(shop_id)
        for version, wrapped in ((INDEX_KEY, index_key), (1, data_key)):
            await db.execute(
                repository.ADD_SHOP_KEY,
                shop_id=shop_id,
                version=version,
                wrapped=wrapped,
                created_at=moment,
                used_from=moment,
            )
    return shop_id
