"""youzan.scrm.customer.search.list 1.0.0: customers by page number, by creation or by last trade."""

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import BeforeValidator, TypeAdapter
from typing_extensions import TypedDict

from app.core.masking import MobileField, NameField
from app.directory import repository as directory
from app.directory import traded
from app.directory.traded import TradedRow, Wanted
from app.youzan.calling import Api, FacadeCall
from app.youzan.lists import ListParameters, check_windows
from app.youzan.parameters import Instant, InstantAfter, blank_is_absent
from app.youzan.repository import values_of
from app.youzan.shapes import ANONYMOUS, ShowName, mobile_of, name_of, seconds


class SearchListParameters(ListParameters):
    """Of search.list 1.0.0."""

    last_trade_time_start: Instant = None
    last_trade_time_end: InstantAfter = None
    order_column: Annotated[Literal["createdAt", "lastTradeTime"] | None, BeforeValidator(blank_is_absent)] = None
    order_mode: Annotated[Literal["asc", "desc"] | None, BeforeValidator(blank_is_absent)] = None

    def wanted(self) -> Wanted:
        """The same, as the directory knows it."""
        return Wanted(
            self.filters(),
            traded_from=self.last_trade_time_start,
            traded_before=self.last_trade_time_end,
            by_trade=self.order_column == "lastTradeTime",
            ascending=self.order_mode == "asc",
        )


class ListedRow(TypedDict):
    """A customer in search.list; the price in fen, the time in seconds."""

    name: NameField
    nick_name: str
    mobile: NotRequired[MobileField]
    fans_weixin_open_id: str
    show_name: ShowName
    fans_type: list[int]
    is_member: int
    points: int
    cards: list[Any]
    fans_picture: str
    avg_price: int
    trade_count: int
    last_trade_time: int


class SearchListData(TypedDict):
    """Of search.list 1.0.0."""

    total: int
    list: list[ListedRow]


SEARCH_LIST_DATA: Final = TypeAdapter(SearchListData)


async def search_list(call: FacadeCall, given: SearchListParameters) -> SearchListData:
    """A page of customers, the newest first unless asked otherwise.

    Raises: BusinessRefusal 142710032 beyond what pages can reach, or 141500101.
    """
    offset, limit = given.span()
    wanted = given.wanted()
    check_windows(wanted.filters, (wanted.traded_from, wanted.traded_before))
    if wanted.filters.any_tag == ():
        return {"total": 0, "list": []}
    if wanted.windowed:
        count = await traded.total(call.db, call.shop, wanted)
    else:
        count = await directory.total(call.db, call.shop.id, wanted.filters)
    if offset >= count:
        return {"total": count, "list": []}
    rows = await traded.page(call.db, call.shop, wanted, offset=offset, limit=limit)
    ids = [row.customer.id for row in rows]
    call.visit.concerns(ids)
    # An openid has no masked form: without the right to see it there is none.
    held = await values_of(call.db, call.shop, ids, ["wechat_openid"]) if ids and call.caller.unmasked else {}
    openids = {customer_id: values["wechat_openid"][-1] for customer_id, values in held.items()}
    return {"total": count, "list": [_row(row, openids.get(row.customer.id, "")) for row in rows]}


def _row(row: TradedRow, openid: str) -> ListedRow:
    customer = row.customer
    mobile = mobile_of(customer)
    shown: ListedRow = {
        "name": name_of(customer),
        "nick_name": "",
        "fans_weixin_open_id": openid,
        "show_name": (mobile[1] if mobile else name_of(customer)) or ANONYMOUS,
        "fans_type": [],
        "is_member": int(customer.profile["member_since"] is not None),
        "points": 0,
        "cards": [],
        "fans_picture": "",
        "avg_price": row.gross_fen // row.orders if row.orders else 0,
        "trade_count": row.orders,
        "last_trade_time": seconds(row.last_paid_at),
    }
    if mobile:
        shown["mobile"] = mobile[1]
    return shown


APIS: Final = (
    Api(
        "youzan.scrm.customer.search.list",
        "1.0.0",
        "customers:read",
        SearchListParameters,
        SEARCH_LIST_DATA,
        search_list,
        missing="`points` is 0, `cards` and `fans_type` are empty, nickname and picture too",
    ),
)
