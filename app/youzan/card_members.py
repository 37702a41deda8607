"""youzan.scrm.customer.search 3.0.0: the members of a card, while there are no cards."""

from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import NO_CARD, OVER_LIMIT, BusinessRefusal
from app.youzan.lists import MAX_PAGES
from app.youzan.parameters import Parameters


class MembersParameters(Parameters):
    """Of search 3.0.0."""

    card_alias: Annotated[str, Field(min_length=1)]
    page: Annotated[int, Field(ge=0)]


class MembersData(TypedDict):
    """Of search 3.0.0."""

    total: int
    page: int
    page_size: int
    items: list[Any]


MEMBERS_DATA: Final = TypeAdapter(MembersData)


async def search_members(call: FacadeCall, given: MembersParameters) -> MembersData:
    """Raises BusinessRefusal 141502105, 142710032 beyond what pages can reach, or 141500101.

    An empty page would say that the card has no members, and a client that keeps a copy would drop its own.
    """
    raise BusinessRefusal(OVER_LIMIT if given.page > MAX_PAGES else NO_CARD)


APIS: Final = (
    Api(
        "youzan.scrm.customer.search",
        "3.0.0",
        "customers:read",
        MembersParameters,
        MEMBERS_DATA,
        search_members,
        missing="there are no card templates yet, so every `card_alias` is 141502105",
    ),
)
