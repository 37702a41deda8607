"""youzan.scrm.customer.search and list 1.0.0: the same rows by page number, under two spellings."""

from datetime import datetime
from typing import Final, NotRequired

from pydantic import AliasChoices, Field, TypeAdapter
from typing_extensions import TypedDict

from app.core.masking import MobileField, NameField
from app.directory.filters import Filters
from app.directory.repository import ListRow, page_numbered, total
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, OVER_LIMIT, BusinessRefusal
from app.youzan.parameters import Flag, Instant, InstantAfter, Number, Numbers, Parameters
from app.youzan.repository import fans_ids
from app.youzan.shapes import ANONYMOUS, ShowName, mobile_of, name_of, seconds

PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 50
MAX_PAGES: Final = 500
MAX_ROWS: Final = 10_000
MAX_TAGS: Final = 100


class ListParameters(Parameters):
    """Of search 3.1.0, 3.1.2 and list: each spelling of a filter is taken in all."""

    page: Number = Field(None, ge=0, validation_alias=AliasChoices("page", "page_no"))
    page_size: Number = Field(None, ge=0, le=MAX_PAGE_SIZE)
    is_member: Number = Field(None, ge=0, le=1)
    has_mobile: Flag = None
    tag_ids: Numbers = Field(None, max_length=MAX_TAGS)
    created_from: Instant = Field(None, validation_alias="created_at_start")
    created_before: InstantAfter = Field(None, validation_alias="created_at_end")
    member_from: Instant = Field(None, validation_alias=AliasChoices("created_member_start", "created_member_at_start"))
    member_before: InstantAfter = Field(
        None, validation_alias=AliasChoices("created_member_end", "created_member_at_end")
    )

    @property
    def page_number(self) -> int:
        """From 1; typed clients send 0 for what they do not set."""
        return self.page or 1

    def span(self) -> tuple[int, int]:
        """Offset and limit of the page. Raises BusinessRefusal 142710032 beyond what pages can reach."""
        size = self.page_size or PAGE_SIZE
        offset = (self.page_number - 1) * size
        if self.page_number > MAX_PAGES or offset >= MAX_ROWS:
            raise BusinessRefusal(OVER_LIMIT)
        return offset, min(size, MAX_ROWS - offset)

    @property
    def tags(self) -> tuple[int, ...] | None:
        """Ids that a tag can have; empty when none of those given can be one."""
        return tuple({number for number in self.tag_ids if 0 < number < 2**53}) if self.tag_ids else None

    def filters(self) -> Filters:
        """The same, as the directory knows it."""
        return Filters(
            created_from=self.created_from,
            created_before=self.created_before,
            member_from=self.member_from,
            member_before=self.member_before,
            member=None if self.is_member is None else bool(self.is_member),
            has_mobile=self.has_mobile,
            any_tag=self.tags,
        )


class SearchRow(TypedDict):
    """A customer in search; times in seconds."""

    name: NameField
    mobile: NotRequired[MobileField]
    show_name: ShowName
    gender: int
    yz_uid: int
    fans_id: int
    weixin_fans_id: int
    is_member: int
    trade_count: int
    points: int
    card_ids: list[int]
    created_at: int
    member_created_at: int


class SearchData(TypedDict):
    """Of search 3.1.0 and 3.1.2."""

    total: int
    record_list: list[SearchRow]


class PlainRow(TypedDict):
    """A customer in list; times in seconds."""

    yz_open_id: str
    name: NameField
    mobile: NotRequired[MobileField]
    show_name: ShowName
    gender: int
    is_member: int
    points: int
    trade_count: int
    created_at: int
    created_member_at: int
    is_mobile_enable: bool
    is_mobile_auth: bool


class ListData(TypedDict):
    """Of list 1.0.0."""

    total: int
    page_no: int
    record_list: list[PlainRow]


SEARCH_DATA: Final = TypeAdapter(SearchData)
LIST_DATA: Final = TypeAdapter(ListData)


async def search(call: FacadeCall, given: ListParameters) -> SearchData:
    """A page of customers, newest first. Raises BusinessRefusal 142710032 beyond what pages can reach, or 141500101."""
    count, rows = await _page(call, given)
    # A fan number identifies a person and has no masked form: without the right to see it there is none.
    ids = [row.customer.id for row in rows]
    fans = await fans_ids(call.db, call.shop, ids) if ids and call.caller.unmasked else {}
    return {"total": count, "record_list": [_search_row(row, fans.get(row.customer.id, 0)) for row in rows]}


async def list_customers(call: FacadeCall, given: ListParameters) -> ListData:
    """A page of customers, newest first. Raises BusinessRefusal 142710032 beyond what pages can reach, or 141500101."""
    count, rows = await _page(call, given)
    return {"total": count, "page_no": given.page_number, "record_list": [_plain_row(call, row) for row in rows]}


def check_windows(filters: Filters, *more: tuple[datetime | None, datetime | None]) -> None:
    """Raises BusinessRefusal 141500101 when a window ends before it starts."""
    for start, end in (
        (filters.created_from, filters.created_before),
        (filters.member_from, filters.member_before),
        *more,
    ):
        if start and end and start >= end:
            raise BusinessRefusal(INVALID, "a window ends before it starts")


async def _page(call: FacadeCall, given: ListParameters) -> tuple[int, list[ListRow]]:
    offset, limit = given.span()
    filters = given.filters()
    check_windows(filters)
    if filters.any_tag == ():
        return 0, []
    count = await total(call.db, call.shop.id, filters)
    if offset >= count:
        return count, []
    rows = await page_numbered(call.db, call.shop, filters=filters, offset=offset, limit=limit)
    call.visit.concerns([row.customer.id for row in rows])
    return count, rows


def _search_row(row: ListRow, fans_id: int) -> SearchRow:
    customer, profile = row.customer, row.customer.profile
    mobile = mobile_of(customer)
    shown: SearchRow = {
        "name": name_of(customer),
        "show_name": (mobile[1] if mobile else name_of(customer)) or ANONYMOUS,
        "gender": profile["gender"],
        "yz_uid": customer.id,
        "fans_id": fans_id,
        "weixin_fans_id": fans_id,
        "is_member": int(profile["member_since"] is not None),
        "trade_count": row.orders,
        "points": 0,
        "card_ids": [],
        "created_at": seconds(customer.created_at),
        "member_created_at": seconds(profile["member_since"]),
    }
    if mobile:
        shown["mobile"] = mobile[1]
    return shown


def _plain_row(call: FacadeCall, row: ListRow) -> PlainRow:
    customer, profile = row.customer, row.customer.profile
    mobile = mobile_of(customer)
    shown: PlainRow = {
        "yz_open_id": call.open_id(customer.id),
        "name": name_of(customer),
        "show_name": (mobile[1] if mobile else name_of(customer)) or ANONYMOUS,
        "gender": profile["gender"],
        "is_member": int(profile["member_since"] is not None),
        "points": 0,
        "trade_count": row.orders,
        "created_at": seconds(customer.created_at),
        "created_member_at": seconds(profile["member_since"]),
        "is_mobile_enable": profile["mobile_verified"],
        "is_mobile_auth": profile["mobile_verified"],
    }
    if mobile:
        shown["mobile"] = mobile[1]
    return shown


_SEARCH_MISSING: Final = "`points` is 0, `card_ids` is empty"
APIS: Final = (
    Api(
        "youzan.scrm.customer.search",
        "3.1.0",
        "customers:read",
        ListParameters,
        SEARCH_DATA,
        search,
        missing=_SEARCH_MISSING,
    ),
    Api(
        "youzan.scrm.customer.search",
        "3.1.2",
        "customers:read",
        ListParameters,
        SEARCH_DATA,
        search,
        missing=_SEARCH_MISSING,
    ),
    Api(
        "youzan.scrm.customer.list",
        "1.0.0",
        "customers:read",
        ListParameters,
        LIST_DATA,
        list_customers,
        missing="`points` is 0",
    ),
)
