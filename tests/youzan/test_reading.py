"""Contract 1.4: parameters out of forms and queries, without a server."""

from typing import Any

import pytest

from app.youzan import reading
from app.youzan.errors import GatewayRefusal


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"a=1&b=x+y", {"a": "1", "b": "x y"}),
        (b"a=", {"a": ""}),
        (
            b"account[account_id]=7&account[account_type]=Mobile",
            {"account": {"account_id": "7", "account_type": "Mobile"}},
        ),
        (b"account%5Baccount_id%5D=7", {"account": {"account_id": "7"}}),
        (b"c[contact_address][area_code]=420704", {"c": {"contact_address": {"area_code": "420704"}}}),
        (b"tag_ids[]=1&tag_ids[]=2", {"tag_ids": ["1", "2"]}),
        (b"tag_ids[0]=1&tag_ids[1]=2", {"tag_ids": ["1", "2"]}),
        (b"users[0][id]=1&users[1][id]=2", {"users": [{"id": "1"}, {"id": "2"}]}),
        (b"a=1&a[b]=2", {"a": {"b": "2"}}),
        (b"a[b]=2&a=1", {"a": "1"}),
        (b"a[=1&]b=2&[c]=3", {"a[": "1", "]b": "2", "[c]": "3"}),
        (b"a[1][2][3][4][5][6][7]=x", {"a": [[[[["x"]]]]]}),
        (b"name=%E6%9D%8E", {"name": "李"}),
        (b"name=%C0%EE", {"name": "\ufffd\ufffd"}),
    ],
)
def test_nested(query: bytes, expected: dict[str, Any]) -> None:
    assert reading.nested(reading.query_pairs(query)) == expected


@pytest.mark.parametrize("query", [b"a=%00", b"%00=a", b"a=" + b"x" * 70_000, b"&".join([b"a=1"] * 1001)])
def test_limits(query: bytes) -> None:
    with pytest.raises(GatewayRefusal, match="4004"):
        reading.nested(reading.query_pairs(query))


def part(name: str, value: str, more: str = "") -> bytes:
    """One part of a multipart body."""
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'
    return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{value}\r\n".encode()


def test_multipart_text_fields() -> None:
    body = b"preamble\r\n" + part("mobile", "138") + part("name", "李\r\n--四") + part("image", "x", '; filename="a"')
    found = reading.read_body(reading.MULTIPART, 'multipart/form-data; boundary="B"', body + b"--B--\r\n")
    assert found == {"mobile": "138", "name": "李\r\n--四"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", part("a", "1") + b"--B--"),
        ("multipart/form-data; boundary=B", part("a", "1")),
        ("multipart/form-data; boundary=B", b""),
        ("multipart/form-data; boundary=B", part("a", "1") * 1500 + b"--B--"),
        ("multipart/form-data; boundary=B", part("a" * 9000, "1") + b"--B--"),
    ],
)
def test_multipart_that_cannot_be_read(content_type: str, body: bytes) -> None:
    with pytest.raises(GatewayRefusal, match="4004"):
        reading.read_body(reading.MULTIPART, content_type, body)


@pytest.mark.parametrize(
    ("method", "content_type", "media"),
    [
        ("GET", None, reading.FORM),
        ("GET", "application/json", reading.FORM),
        ("POST", "application/json", reading.JSON),
        ("POST", "Application/JSON; charset=GBK", reading.JSON),
        ("POST", None, reading.JSON),
        ("POST", "application/x-www-form-urlencoded; charset=ISO-8859-1", reading.FORM),
        ("POST", "multipart/form-data; boundary=B", reading.MULTIPART),
    ],
)
def test_media_type(method: str, content_type: str | None, media: str) -> None:
    assert reading.media_type(method, content_type) == media
