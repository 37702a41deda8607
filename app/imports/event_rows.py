"""Rows of an event file become the events that the batch call takes."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import TypeAdapter

from app.events.schemas import EventWrite
from app.imports import identities
from app.imports.asked import Asked
from app.imports.header import IDENTITY_COLUMNS, SCOPE_COLUMNS, STORE_ALIASES, Layout
from app.imports.rows import Outgoing, Payload, Row, RowRefused, Unit, checked, moment, read, rfc3339, text_cell, whole

PREFIX: Final = "properties."
LAYOUT: Final = Layout(
    columns={
        **IDENTITY_COLUMNS,
        **SCOPE_COLUMNS,
        "event_id": ("事件编号", "事件id", "event_no"),
        "type": ("事件类型", "事件", "event", "event_type", "event_name"),
        "occurred_at": ("发生时间", "事件时间", "时间", "event_time", "time"),
        "store_id": STORE_ALIASES,
        "source": ("来源", "event_source"),
    },
    required={
        "the event's own number": (("event_id",),),
        "what happened": (("type",),),
        "when it happened": (("occurred_at",),),
        "who did it": tuple((column,) for column in IDENTITY_COLUMNS),
    },
    prefix=PREFIX,
)

HELP: Final = """\
Columns, in English or Chinese, in any order:
  event_id, type, occurred_at, at least one of external_id, mobile, email, wechat_openid
  (with wechat_appid), wechat_unionid, wecom_external_userid, fans_id, open_user_id,
  card_no, device
  optional: store_id, source, and a column properties.NAME for each property
In a property's cell a plain number is a number, true and false are themselves, anything
else is text. Times without a zone are in the shop's zone. An event_id that is known stays
as it was kept first. An event that does not fit its declaration is kept aside and told."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,10})?", re.ASCII)
_EVENT: TypeAdapter[EventWrite] = TypeAdapter(EventWrite)


def read_events(rows: Iterable[Row], asked: Asked) -> Iterator[Unit]:
    """An event or a refusal for each row, in file order."""
    for row in rows:
        try:
            yield Outgoing(row.line, to_event(row.line, _payload(row, asked), asked))
        except RowRefused as refused:
            yield refused.error


def to_event(line: int, payload: Payload, asked: Asked) -> EventWrite:
    """An event in the form of the calls. Raises RowRefused."""
    return checked(_EVENT, line, payload)


def _payload(row: Row, asked: Asked) -> Payload:
    if row.fault:
        raise RowRefused(row.line, "", row.fault)
    values = {column: read(row, column, parse) for column, parse in identities.PARSERS.items()}
    named = identities.identities(values, appid=row.cells.get("wechat_appid"), source=asked.source)
    if not named:
        raise RowRefused(row.line, "", "no cell of this row says who did it")
    fields: Payload = {
        "event_id": read(row, "event_id", text_cell),
        "type": read(row, "type", text_cell),
        "occurred_at": read(row, "occurred_at", lambda text: rfc3339(moment(text, asked.zone))),
        "store_id": read(row, "store_id", whole),
        "source": read(row, "source", text_cell),
    }
    properties = {
        name.removeprefix(PREFIX): _value(cell) for name, cell in row.cells.items() if name.startswith(PREFIX)
    }
    told = {name: value for name, value in fields.items() if value is not None}
    return told | {"identities": named, "properties": properties}


def _value(cell: str) -> Any:
    if cell in ("true", "false"):
        return cell == "true"
    if _NUMBER.fullmatch(cell):
        return float(cell) if "." in cell else int(cell)
    return cell
