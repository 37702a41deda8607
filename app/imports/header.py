"""A file's header: which column means what, in English or Chinese, and what it lacks."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.imports.errors import FileRefused

# The identities both kinds of file may carry; also the order in which they are sent.
IDENTITY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "external_id": (
        "外部编号",
        "外部id",
        "客户编号",
        "会员编号",
        "会员号",
        "客户id",
        "会员id",
        "customer_id",
        "member_id",
    ),
    "mobile": ("手机号", "手机", "手机号码", "电话", "联系电话", "移动电话", "phone", "phone_number", "mobile_number"),
    "email": ("邮箱", "电子邮箱", "邮件", "邮箱地址", "e_mail", "email_address"),
    "wechat_openid": ("openid", "微信openid", "open_id", "微信号openid"),
    "wechat_unionid": ("unionid", "微信unionid", "union_id"),
    "wecom_external_userid": ("external_userid", "企微外部联系人id", "企业微信客户id"),
    "fans_id": ("粉丝id", "粉丝编号"),
    "open_user_id": ("开放用户id", "三方用户id"),
    "card_no": ("卡号", "会员卡号", "card_number"),
    "device": ("设备", "设备号", "device_id"),
}
# Not an identity: the app that issued the openid, which is only unique within it.
SCOPE_COLUMNS: Mapping[str, tuple[str, ...]] = {"wechat_appid": ("appid", "微信appid", "app_id", "小程序appid")}
STORE_ALIASES = ("门店", "门店编号", "门店id", "店铺id", "所属门店", "下单门店", "store", "shop_id")
# Of the columns that are ignored: told with every batch, and a header may be a megabyte.
_UNKNOWN_TOLD = 200
_NAME_TOLD = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns a kind of file may have, and what it must have.

    `required` maps a plain name of the need to its alternatives; each alternative is a set of columns that meets it.
    """

    columns: Mapping[str, tuple[str, ...]]
    required: Mapping[str, tuple[tuple[str, ...], ...]]
    prefix: str = ""  # columns that begin with it are known by their own names


@dataclass(frozen=True, slots=True)
class Header:
    """Where each known column stands, the first unknown ones by their own names, and how many there are in all."""

    positions: tuple[tuple[str, int], ...]
    unknown: tuple[str, ...]
    width: int


def read_header(names: Sequence[str], layout: Layout) -> Header:
    """Match a header to a layout. Raises FileRefused when a column is missing or two mean the same."""
    known = _known(layout)
    positions: dict[str, int] = {}
    unknown: list[str] = []
    for index, name in enumerate(names):
        column = known.get(plain(name))
        if layout.prefix and name.strip().startswith(layout.prefix):
            column = name.strip()
        if column is None:
            if name.strip() and len(unknown) < _UNKNOWN_TOLD:
                unknown.append(name.strip()[:_NAME_TOLD])
        elif column in positions:
            raise FileRefused(
                f"The columns {positions[column] + 1} and {index + 1} both mean {column}: remove or rename one"
            )
        else:
            positions[column] = index
    _check_required(positions, layout)
    return Header(tuple(positions.items()), tuple(unknown), len(names))


def recognised(names: Sequence[str], layout: Layout) -> int:
    """How many of the names the layout knows; decides between delimiters."""
    known = _known(layout)
    prefix = layout.prefix or "\0"
    return sum(plain(name) in known or name.strip().startswith(prefix) for name in names)


def plain(name: str) -> str:
    """A column's name without case, width, spacing or punctuation differences: ` Order No. ` is `order_no`."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\W_]+", "_", folded).strip("_")


def _known(layout: Layout) -> dict[str, str]:
    return {plain(name): column for column, aliases in layout.columns.items() for name in (column, *aliases)}


def _check_required(positions: Mapping[str, int], layout: Layout) -> None:
    for need, alternatives in layout.required.items():
        if not any(all(column in positions for column in columns) for columns in alternatives):
            choices = "; or ".join(" with ".join(_spelled(column, layout) for column in cols) for cols in alternatives)
            raise FileRefused(f"The header has no column for {need}. Accepted: {choices}")


def _spelled(column: str, layout: Layout) -> str:
    aliases = layout.columns[column]
    return f"{column} ({', '.join(aliases)})" if aliases else column
