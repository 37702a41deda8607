"""Parameters out of a request, in every form that clients send them: JSON, form, multipart, query."""

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from app.core.errors import AppError
from app.core.wire import MAX_STRING, parse_json
from app.youzan.errors import GatewayRefusal

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

_MAX_FIELDS: Final = 1000
_MAX_FORM: Final = 1 << 20  # each percent sign is decoded in Python: eight megabytes of them take ten seconds
_MAX_PART_HEADER: Final = 2048
_MAX_BRACKETS: Final = 5
_BRACKETED: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")
_BOUNDARY: Final = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_PART_NAME: Final = re.compile(r';\s*name="?([^";]*)"?', re.IGNORECASE)
_PART_FILE: Final = re.compile(r";\s*filename", re.IGNORECASE)

Pairs = list[tuple[str, str]]


def media_type(method: str, content_type: str | None) -> str:
    """How the parameters travel: FORM stands for the query of a GET too. A POST that names no type is read as JSON.

    Raises: GatewayRefusal 4007.
    """
    if method == "GET":
        return FORM
    media = (content_type or JSON).partition(";")[0].strip().lower()
    if method != "POST" or media not in (JSON, FORM, MULTIPART):
        raise GatewayRefusal(4007, f"httpMethod:{method[:20]}, contentType:{(content_type or '')[:100]}")
    return media


def query_pairs(query: bytes) -> Pairs:
    """The decoded pairs of a query string or form. Raises GatewayRefusal 4004 when there are over a thousand."""
    try:
        return parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise GatewayRefusal(4004, f"at most {_MAX_FIELDS} fields") from None


def read_body(media: str, content_type: str | None, body: bytes) -> dict[str, Any]:
    """The parameters of a POST. An empty body is no parameters.

    Raises: GatewayRefusal 4004 when the body is not what its content type says, or breaks a limit.
    """
    if media != JSON:
        return nested(form_pairs(media, content_type, body))
    if not body:
        return {}
    try:
        value = parse_json(body.removeprefix(b"\xef\xbb\xbf"))
    except AppError as error:
        raise GatewayRefusal(4004, error.detail or "") from None
    if not isinstance(value, dict):
        if value:
            raise GatewayRefusal(4004, "the body must be a JSON object")
        return {}  # null, and the [] that PHP writes for an empty array
    return value


def form_pairs(media: str, content_type: str | None, body: bytes) -> Pairs:
    """The fields of a form. Raises GatewayRefusal 4004 when the body is not what its content type says."""
    if media == MULTIPART:
        return _multipart(content_type or "", body)
    if len(body) > _MAX_FORM:
        raise GatewayRefusal(4004, f"a form is limited to {_MAX_FORM} bytes; send JSON")
    return query_pairs(body)


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Pairs as parameters; `account[account_id]=…` becomes an object, `tag_ids[]=…` a list. The last of equals counts.

    Raises: GatewayRefusal 4004 when a value breaks a limit.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if len(value) > MAX_STRING or "\x00" in value or "\x00" in key:
            raise GatewayRefusal(4004, f"text is limited to {MAX_STRING} characters without NUL")
        shape = _BRACKETED.fullmatch(key) if "[" in key else None
        if shape is None:
            found[key] = value
        else:
            _put(found, [shape[1], *_BRACKETS.findall(shape[2])][: _MAX_BRACKETS + 1], value)
    return {key: _with_lists(value) for key, value in found.items()}


def _put(place: dict[str, Any], path: list[str], value: str) -> None:
    for step in path[:-1]:
        step = step or str(len(place))
        if not isinstance(place.get(step), dict):
            place[step] = {}
        place = place[step]
    place[path[-1] or str(len(place))] = value


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if all(key.isdigit() for key in value):
        return [_with_lists(item) for item in value.values()]
    return {key: _with_lists(item) for key, item in value.items()}


def _multipart(content_type: str, body: bytes) -> Pairs:
    """The text fields of a multipart form; files are skipped, for no call here takes one."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise GatewayRefusal(4004, "multipart/form-data without a boundary")
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode(), _MAX_FIELDS + 2)
    if not parts or not parts[-1].startswith(b"--"):
        raise GatewayRefusal(4004, "the multipart body is cut short or has too many parts")
    pairs = []
    for part in parts[:-1]:
        header, _, content = part.partition(b"\r\n\r\n")
        if len(header) > _MAX_PART_HEADER:
            raise GatewayRefusal(4004, "the header of a part is too long")
        if name := _part_name(header.decode("utf-8", "replace")):
            pairs.append((name, content.decode("utf-8", "replace")))
    return pairs


def _part_name(header: str) -> str | None:
    for line in header.splitlines():
        if line.lower().startswith("content-disposition:") and not _PART_FILE.search(line):
            name = _PART_NAME.search(line)
            return name[1] if name else None
    return None
