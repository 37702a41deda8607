"""How a customer's values are written on Youzan's wire."""

from datetime import datetime
from typing import Annotated, Final, Literal

from app.access.shops import Shop
from app.core.masking import masked
from app.customers.normalise import national
from app.customers.records import Customer
from app.youzan.parameters import CHINA

ANONYMOUS: Final = "匿名用户"
UNKNOWN_CHANNEL: Final = 1
OWN_FANS: Final = 1  # the `fans_type` of fans of the shop's own official account

# The stand-in for nobody hides nothing and is shown to everyone.
ShowName = Literal["匿名用户"] | Annotated[str, masked("display_name")]


def mobile_of(customer: Customer) -> tuple[str, str] | None:
    """Country code and national number, or None."""
    return national(customer.mobile) if customer.mobile else None


def name_of(customer: Customer) -> str:
    """The name, empty when there is none."""
    return customer.profile["name"] or ""


def owner_of(shop: Shop, customer: Customer) -> int:
    """The branch that the customer belongs to; the head office owns whoever has no branch."""
    return customer.profile["store_id"] or shop.id


def seconds(moment: datetime | None) -> int:
    """Unix seconds; 0 for never."""
    return int(moment.timestamp()) if moment else 0


def milliseconds(moment: datetime | None) -> int:
    """Unix milliseconds; 0 for never."""
    return int(moment.timestamp() * 1000) if moment else 0


def local_text(moment: datetime | None) -> str:
    """`yyyy-MM-dd HH:mm:ss` in China; empty for never."""
    return f"{moment.astimezone(CHINA):%Y-%m-%d %H:%M:%S}" if moment else ""
