"""Rows about people who are there already: identities to add to them, tags to put on them, lists to put them on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from app.customers.schemas import Identities, IdentityWrite
from app.imports import identities
from app.imports.asked import Asked
from app.imports.header import IDENTITY_COLUMNS, SCOPE_COLUMNS, Layout
from app.imports.rows import Outgoing, Payload, Row, RowRefused, Unit, checked, read, whole
from app.tags.models import NAME_LIMIT

# Last, because among customers the same name means the source's own number.
_WHO: Final = {**IDENTITY_COLUMNS, **SCOPE_COLUMNS, "customer_id": ("kehu_customer_id",)}
_SEPARATORS: Final = str.maketrans("|;;、", ",,,,")
_NEED: Final = {"who the customer is": tuple((column,) for column in ("customer_id", *IDENTITY_COLUMNS))}
IDENTITIES: Final = Layout(columns=_WHO, required=_NEED)
TAGS: Final = Layout(
    columns={**_WHO, "tags": ("标签", "标签名称", "tag", "tag_name", "tag_names")},
    required=_NEED | {"the tags": (("tags",),)},
)

LISTS: Final = Layout(
    columns={**_WHO, "segment": ("人群", "人群名称", "segment_name", "segment_id")},
    required=_NEED | {"the segment": (("segment",),)},
)

IDENTITIES_HELP: Final = """\
Columns, in English or Chinese, in any order: customer_id, or identities, or both:
  external_id, mobile, email, wechat_openid (with wechat_appid), wechat_unionid,
  wecom_external_userid, fans_id, open_user_id, card_no, device
A row names a customer who is there, by customer_id or by an identity that they hold; the
row's other identities are added to them. Nobody is created."""
TAGS_HELP: Final = """\
Columns, in English or Chinese, in any order: tags, and customer_id or one identity:
  external_id, mobile, email, wechat_openid (with wechat_appid), wechat_unionid,
  wecom_external_userid, fans_id, open_user_id, card_no, device
Several tags stand with | ; or 、 between them. Tags that the shop lacks are made; the
customer must be there."""

LISTS_HELP: Final = """\
Columns, in English or Chinese, in any order: segment, and customer_id or one identity:
  external_id, mobile, email, wechat_openid (with wechat_appid), wechat_unionid,
  wecom_external_userid, fans_id, open_user_id, card_no, device
segment is the number or the name of a static segment; the customer must be there."""

TagName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LIMIT)]
CustomerNumber = Annotated[int, Field(ge=1, lt=2**53)]


class _Person(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer_id: CustomerNumber | None = None


class _Known(_Person):
    identities: Identities


class _Tagged(_Person):
    identities: Annotated[list[IdentityWrite], Field(max_length=20)] = []
    tags: Annotated[list[TagName], Field(min_length=1, max_length=50)]


class _Listed(_Person):
    identities: Annotated[list[IdentityWrite], Field(max_length=20)] = []
    segment: CustomerNumber | Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is there, and what the row has for them."""

    customer_id: int | None
    identities: tuple[IdentityWrite, ...]
    tags: frozenset[str] = frozenset()
    segment: int | str = 0


_KNOWN: TypeAdapter[_Known] = TypeAdapter(_Known)
_TAGGED: TypeAdapter[_Tagged] = TypeAdapter(_Tagged)
_LISTED: TypeAdapter[_Listed] = TypeAdapter(_Listed)


def read_identities(rows: Iterable[Row], asked: Asked) -> Iterator[Unit]:
    """A person or a refusal for each row, in file order."""
    for row in rows:
        try:
            yield Outgoing(row.line, to_known(row.line, _who(row, asked), asked))
        except RowRefused as refused:
            yield refused.error


def read_tags(rows: Iterable[Row], asked: Asked) -> Iterator[Unit]:
    """A person or a refusal for each row, in file order."""
    for row in rows:
        try:
            names = [
                name for part in row.cells.get("tags", "").translate(_SEPARATORS).split(",") if (name := part.strip())
            ]
            yield Outgoing(row.line, to_tagged(row.line, _who(row, asked) | {"tags": names}, asked))
        except RowRefused as refused:
            yield refused.error


def read_lists(rows: Iterable[Row], asked: Asked) -> Iterator[Unit]:
    """A person or a refusal for each row, in file order."""
    for row in rows:
        try:
            named = row.cells.get("segment", "").strip()
            segment = int(named) if named.isascii() and named.isdecimal() else named
            yield Outgoing(row.line, to_listed(row.line, _who(row, asked) | {"segment": segment}, asked))
        except RowRefused as refused:
            yield refused.error


def to_known(line: int, payload: Payload, asked: Asked) -> Person:
    """Somebody with identities, from an object of customer_id and identities. Raises RowRefused."""
    body = checked(_KNOWN, line, payload)
    return Person(body.customer_id, tuple(body.identities))


def to_tagged(line: int, payload: Payload, asked: Asked) -> Person:
    """Somebody with tags, from an object of customer_id or identities, and tags. Raises RowRefused."""
    body = checked(_TAGGED, line, payload)
    if body.customer_id is None and not body.identities:
        raise RowRefused(line, "", "nothing in this row says who the customer is")
    return Person(body.customer_id, tuple(body.identities), frozenset(body.tags))


def to_listed(line: int, payload: Payload, asked: Asked) -> Person:
    """Somebody and a segment, from an object of customer_id or identities, and segment. Raises RowRefused."""
    body = checked(_LISTED, line, payload)
    if body.customer_id is None and not body.identities:
        raise RowRefused(line, "", "nothing in this row says who the customer is")
    return Person(body.customer_id, tuple(body.identities), segment=body.segment)


def _who(row: Row, asked: Asked) -> Payload:
    if row.fault:
        raise RowRefused(row.line, "", row.fault)
    number = read(row, "customer_id", whole)
    values = {column: read(row, column, parse) for column, parse in identities.PARSERS.items()}
    named = identities.identities(values, appid=row.cells.get("wechat_appid"), source=asked.source)
    if number is None and not named:
        raise RowRefused(row.line, "", "no cell of this row says who the customer is")
    return {"identities": named} | ({"customer_id": number} if number is not None else {})
