"""Rows of a customer file become the customers that the batch call takes."""

import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from app.attributes.service import Told
from app.customers.schemas import CustomerCreate, IdentityWrite
from app.customers.service import Write
from app.imports import identities
from app.imports.asked import Asked
from app.imports.glance import at_a_glance
from app.imports.header import IDENTITY_COLUMNS, SCOPE_COLUMNS, STORE_ALIASES, Layout
from app.imports.rows import (
    Outgoing,
    Payload,
    Row,
    RowRefused,
    Unit,
    calendar_day,
    checked,
    moment,
    read,
    rfc3339,
    text_cell,
    whole,
)

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
importing the same file again changes nothing. For people who are there, --policy says
whether to overwrite what differs, fill only what is empty, or skip them."""

_BODY: TypeAdapter[CustomerCreate] = TypeAdapter(CustomerCreate)
_GENDERS = {"0": 0, "未知": 0, "保密": 0, "unknown": 0, "1": 1, "男": 1, "男性": 1, "m": 1, "male": 1}
_GENDERS |= {"2": 2, "女": 2, "女性": 2, "f": 2, "female": 2}


def read_customers(rows: Iterable[Row], asked: Asked) -> Iterator[Unit]:
    """A customer or a refusal for each row, in file order."""
    for row in rows:
        try:
            if (known := at_a_glance(row, asked)) is not None:
                yield Outgoing(row.line, _write(row.line, *known, asked))
                continue
            payload = to_customer(row, source=asked.source, zone=asked.zone)
            yield Outgoing(row.line, to_write(row.line, payload, asked))
        except RowRefused as refused:
            yield refused.error


def to_write(line: int, payload: Payload, asked: Asked) -> Write:
    """What the customers room takes, from a payload in the form of the calls. Raises RowRefused."""
    body = checked(_BODY, line, payload)
    write = _write(line, body.identities, body.given(), body.created_at, asked)
    if body.attributes:
        write.attributes = Told(body.attributes, asked.actor, fills=asked.policy == "fill")
    return write


def _write(line: int, named: list[IdentityWrite], fields: Payload, created_at: datetime | None, asked: Asked) -> Write:
    """Two rows about one person would overwrite each other, in an order that nobody sees: the first one counts."""
    for identity in named:
        before = asked.memory.first_line(identities.key(identity), line)
        if before != line:
            raise RowRefused(
                line, identity.kind, f"line {before} of this file already has this {identity.kind}", "duplicate"
            )
    return Write(named, fields, created_at, policy=asked.policy)


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


def _gender(text: str) -> int:
    gender = _GENDERS.get(unicodedata.normalize("NFKC", text).casefold())
    if gender is None:
        raise ValueError("this is not one of 0, 1, 2, 男, 女, male, female")
    return gender
