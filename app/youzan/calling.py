"""What a call is: a row of the registry, and the circumstances its handler works in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from app.access.audit import Visit
from app.access.entry import Caller
from app.access.scopes import Scope
from app.access.shops import Shop
from app.core.crypto import RootKey
from app.core.db import Connection
from app.core.ids import CustomerIds
from app.youzan.parameters import Parameters

P = TypeVar("P", bound=Parameters)
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class FacadeCall:
    """One call of one caller, inside its transaction; `accounts` is the meaning of its account types."""

    db: Connection
    shop: Shop
    caller: Caller
    root: RootKey
    ids: CustomerIds
    accounts: Mapping[str, str]
    visit: Visit

    def open_id(self, customer_id: int) -> str:
        """The customer's `yz_open_id`."""
        return self.root.open_id(self.shop.id, customer_id)


@dataclass(frozen=True, slots=True)
class Api(Generic[P, D]):
    """One API in one version: a row of the registry, by which the gateway, docs/youzan.md and the tests go.

    `accounts`: what its `account_type`s mean; another version may mean something else by the same value.
    `missing`: what of the published contract is not there yet; empty says that the call is complete.
    """

    name: str
    version: str
    scope: Scope
    parameters: type[P]
    data: TypeAdapter[D]
    handle: Callable[[FacadeCall, P], Awaitable[D]]
    accounts: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
