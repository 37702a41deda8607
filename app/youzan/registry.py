"""Every API of the façade, one row each."""

from typing import Any, Final

from app.youzan import customers, detail, lists
from app.youzan.accounts import NUMBER, TEXT
from app.youzan.calling import Api
from app.youzan.customers import CREATE_DATA, GET_DATA, UPDATE_DATA, CreateParameters, GetParameters, UpdateParameters
from app.youzan.detail import DETAIL_DATA, DetailParameters
from app.youzan.lists import LIST_DATA, SEARCH_DATA, ListParameters

READ: Final = "customers:read"
WRITE: Final = "customers:write"

_ROWS: Final[tuple[Api[Any, Any], ...]] = (
    Api("youzan.scrm.customer.create", "3.0.0", WRITE, CreateParameters, CREATE_DATA, customers.create),
    Api("youzan.scrm.customer.update", "3.0.0", WRITE, UpdateParameters, UPDATE_DATA, customers.update, TEXT),
    Api("youzan.scrm.customer.get", "3.1.0", READ, GetParameters, GET_DATA, customers.get, TEXT),
    Api("youzan.scrm.customer.detail.get", "1.0.0", READ, DetailParameters, DETAIL_DATA, detail.detail, NUMBER),
    Api("youzan.scrm.customer.detail.get", "1.0.1", READ, DetailParameters, DETAIL_DATA, detail.detail, NUMBER),
    Api("youzan.scrm.customer.search", "3.1.2", READ, ListParameters, SEARCH_DATA, lists.search),
    Api("youzan.scrm.customer.list", "1.0.0", READ, ListParameters, LIST_DATA, lists.list_customers),
)

APIS: Final = {(api.name, api.version): api for api in _ROWS}
