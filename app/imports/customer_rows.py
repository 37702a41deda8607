"""Rows of a customer file become the customers that the batch call takes."""

import unicodedata
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from app.imports import identities
from app.imports.header import IDENTITY_COLUMNS, SCOPE_COLUMNS, STORE_ALIASES, Layout
from app.imports.rows import (
    Outgoing,
    Payload,
    Row,
    RowError,
    RowRefused,
    calendar_day,
    moment,
    read,
    rfc3339,
    text_cell,
    whole,
)
from app.imports.scratch import Scratch

LAYOUT = Layout(
    columns={
        **IDENTITY_COLUMNS,
        **SCOPE_COLUMNS,
        "name": ("姓名", "客户姓名", "会员姓名", "名字", "昵称", "customer_name", "full_name"),
        "gender": ("性别", "sex"),
        "birthday": ("生日", "出生日期", "birth_date", "date_of_birth"),
        "area_code": ("地区编码", "地区代码", "行政区划代码", "区域编码"),
        "address": ("地址", "详细地址", "联系地址"),
        "remark": ("备注", "客户备注", "note", "notes"),
        "store_id": STORE_ALIASES,
        "source_channel": ("来源渠道", "客户来源", "渠道来源"),
        "member_since": ("入会时间", "成为会员时间", "会员注册时间", "入会日期"),
        "created_at": ("创建时间", "成为客户时间", "注册时间", "created"),
    },
    required={"who the customer is": tuple((column,) for column in IDENTITY_COLUMNS)},
)

HELP = """\
Columns, in English or Chinese, in any order; at least one of the first line:
  external_id, mobile, email, wechat_openid (with wechat_appid), wechat_unionid,
  wecom_external_userid, fans_id, open_user_id, card_no, device
  name, gender (0 unknown, 1 male, 2 female, or 男/女), birthday, area_code, address,
  remark, store_id, source_channel, member_since, created_at
An empty cell keeps what is stored. Times without a zone are in the shop's zone.
A row that names someone an earlier row of the file already named is refused, so that
importing the same file again changes nothing."""

_GENDERS = {"0": 0, "未知": 0, "保密": 0, "unknown": 0, "1": 1, "男": 1, "男性": 1, "m": 1, "male": 1}
_GENDERS |= {"2": 2, "女": 2, "女性": 2, "f": 2, "female": 2}


def read_customers(
    rows: Iterable[Row], memory: Scratch, *, source: str, zone: ZoneInfo
) -> Iterator[Outgoing | RowError]:
    """A customer or a refusal for each row, in file order.

    Two rows about one person would overwrite each other, in an order that depends on the network: the first one counts.
    """
    for row in rows:
        try:
            customer = to_customer(row, source=source, zone=zone)
            _claim(row, customer, memory)
            yield Outgoing(row.line, customer)
        except RowRefused as refused:
            yield refused.error


def to_customer(row: Row, *, source: str, zone: ZoneInfo) -> Payload:
    """The customer one row describes; only cells that are filled appear. Raises RowRefused."""
    if row.fault:
        raise RowRefused(row.line, "", row.fault)
    values = {column: read(row, column, parse) for column, parse in identities.PARSERS.items()}
    named = identities.identities(values, appid=row.cells.get("wechat_appid"), source=source)
    if not named:
        raise RowRefused(row.line, "", "no cell of this row says who the customer is")
    fields: Payload = {
        "name": read(row, "name", text_cell),
        "gender": read(row, "gender", _gender),
        "birthday": read(row, "birthday", calendar_day),
        "area_code": read(row, "area_code", text_cell),
        "address": read(row, "address", text_cell),
        "remark": read(row, "remark", text_cell),
        "store_id": read(row, "store_id", whole),
        "source_channel": read(row, "source_channel", whole),
        "member_since": read(row, "member_since", lambda text: rfc3339(moment(text, zone))),
        "created_at": read(row, "created_at", lambda text: rfc3339(moment(text, zone))),
    }
    return {"identities": named, **{name: value for name, value in fields.items() if value is not None}}


def _claim(row: Row, customer: Payload, memory: Scratch) -> None:
    for identity in customer["identities"]:
        line = memory.first_line(identities.key(identity), row.line)
        if line != row.line:
            raise RowRefused(
                row.line, identity["kind"], f"line {line} of this file already has this {identity['kind']}"
            )


def _gender(text: str) -> int:
    gender = _GENDERS.get(unicodedata.normalize("NFKC", text).casefold())
    if gender is None:
        raise ValueError(f'"{text[:20]}" is not one of 0, 1, 2, 男, 女, male, female')
    return gender
