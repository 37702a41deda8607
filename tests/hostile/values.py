"""The special list: what goes into a leaf of a body, a path, a query, a header, or stands there instead of a body."""

import base64
import gzip
from collections.abc import Sequence
from typing import Final, TypeVar

import orjson

T = TypeVar("T")

# Raw JSON, because most of it is none: these are refused wherever they stand.
NEVER_TEXT: Final = [
    rb'"\u0000"',
    rb'"before\u0000after"',
    rb'"\ud800"',
    rb'"\udfff\ud800"',
    b'"\xff\xfe"',
    b'"\xc0\x80"',  # NUL in an overlong form
    b'"\xed\xa0\x80"',  # a surrogate in UTF-8
    b'"\xf4\x90\x80\x80"',  # beyond Unicode
    b'"raw \x01 control"',
    b'"' + b"a" * 65_537 + b'"',
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"0x10",
    b"01",
    b"'text'",
    b"[" * 25 + b"]" * 25,
    b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
]
# Possible as JSON; whether a place takes it depends on the place.
NUMBERS: Final = [
    *(b"0", b"-1", b"1", b"-0", b"1.5", b"1e2", b"1e400", b"-1e400", b"1e-400", b"1e18", b"9.2e18"),
    *(b"2147483648", b"9007199254740992", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808"),
    *(b"-9223372036854775809", b"18446744073709551615", b"18446744073709551616", b"1" + b"0" * 40, b"9" * 5000),
]
MOMENTS: Final = [
    *(b'"0001-01-01T00:00:00"', b'"0001-01-01T00:00:00+14:00"', b'"0001-01-01"', b'"0000-01-01"', b'"-0001-01-01"'),
    *(b'"9999-12-31T23:59:59-14:00"', b'"9999-12-31T23:59:59.999999999Z"', b'"9999-12-31"', b'"10000-01-01"'),
    *(b'"2026-02-30"', b'"2026-01-01T24:00:00"', b'"2026-01-01T00:00:60Z"', b'"2026-01-01T00:00:00+99:99"'),
    *(b'"253402300799"', b'"-62135596800"', b"-62135596800", b"253402300799999", b'"4713-01-01 BC"', b'"infinity"'),
]
TEXTS: Final = [
    *(
        b'""',
        b'" "',
        b'"null"',
        b'"*"',
        b'"***"',
        b'"138****0000"',
        b'"-"',
        b'"%00"',
        b'"%s%n{0}{}"',
        b'"{"',
        b'"{{}}"',
    ),
    *(rb'"\u202e\u2066"', rb'"\u200b\ufeff"', rb'"\ud83d\ude00"', rb'"\r\nX-Evil: 1"', rb'"\u2028"', rb'"\uffff"'),
    *(b'"\'; drop table customers; --"', b'"../../etc/passwd"', b'"=1+1"', b'"<script>"', b'"$1"', b'"\\\\x00"'),
    *(b'"' + "ﷺ".encode() * 200 + b'"', b'"' + "e\u0301".encode() * 300 + b'"', b'"' + b"9" * 5000 + b'"'),
    *(b'"' + "１３９１２３４５６７８".encode() + b'"', b'"' + b"+" * 300 + b'"', b'"' + b"a@" * 5000 + b'"'),
    b'"' + b"a" * 65_536 + b'"',
]
SHAPES: Final = [
    *(b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b"[null]", b"[{}]", b'{"":{}}', b'{"a":1,"a":2}'),
    *(b'{"$ref":"#"}', b'{"__proto__":{"a":1}}', b'["a","a"]', b"[" * 20 + b"]" * 20, b"[" + b"0," * 20_000 + b"0]"),
]
LEAVES: Final = [*NUMBERS, *MOMENTS, *TEXTS, *SHAPES]

# As they stand in a target, percent-encoding included.
IN_TARGET: Final = [
    *("", "%20", "%00", "a%00b", "%ff", "%ed%a0%80", "%c0%80", "%0a", "%0d%0aX-Evil:%201", "%f0%9f%98%80", "%", "%zz"),
    *("0", "-1", "1.5", "1e3", "NaN", "inf", "null", "true", "9007199254740992", "9223372036854775808", "1" + "0" * 40),
    *("9" * 5000, "18446744073709551616", "%EF%BC%91%EF%BC%92", "..", "%2e%2e%2f", "*", "'", "%22", "[]", "{}"),
    *("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "{" + "0" * 36 + "}"),
    *("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "9999-12-31", "2026-02-30"),
    *("253402300799999", "-62135596800", "-99999999999999999", "a" * 5_000, "%e7%8e%8b" * 500),
]


def _cursor(value: object) -> str:
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else orjson.dumps(value)).decode().rstrip("=")


_UUID: Final = "01a1ffe8-f407-735a-93a5-b21a89822aed"
# Cursors are ours to make and anybody's to forge: each list gets the shapes of all.
CURSORS: Final = [
    *(_cursor(value) for value in (b"", b"{", b"null", b"[]", b"{}", b"[[[]]]", b"[NaN]", b'["\\ud800"]', b"\xff")),
    *(_cursor([number]) for number in (0, -1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1.5, True, None)),
    *(_cursor([text]) for text in ("", "\0", "x", "a" * 300, _UUID, _UUID.upper(), "0" * 32, "urn:uuid:" + _UUID)),
    *(
        _cursor([moment, number])
        for moment in (
            *("0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59"),
            *("2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+08:00", "20260101T000000Z", "now", "", "\0"),
        )
        for number in (1, -1, 2**63 - 1, 2**63, 2**64 - 1, _UUID, "\0", "x")
    ),
    *("a", "=", "====", "%00", "%ff", "AAAA", "_-_-", "~", "a" * 513, "%E7%8E%8B"),
]

CONTENT_TYPES: Final = [
    *("text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "*/*", "", "json"),
    *("multipart/form-data; boundary=", "application/json, text/plain", "application/octet-stream", "text/json+json"),
    *("application/json;charset=utf-16", "APPLICATION/JSON ;;;;=", "application/vnd.api+json", "a" * 5000, "\xff/\xfe"),
]
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "SEARCH"]
HEADERS: Final = [
    *(("Idempotency-Key", value) for value in (b"", b" ", b"\t", b"\xff", b"a" * 129, b"a" * 60_000, "王".encode())),
    *(("X-Request-Id", value) for value in (b"", b"'; --", b"\xff" * 20, b"a" * 5000, b"..------..")),
    *(("Accept", value) for value in (b"", b"text/html", b"\xff", b"*/*;q=" + b"9" * 500)),
    *(("Cookie", b"a=" + b"b" * 5000), ("Range", b"bytes=0-1,-1,5-"), ("If-None-Match", b"*")),
    *(("X-Forwarded-For", b"127.0.0.1"), ("Forwarded", b"for=127.0.0.1"), ("X-HTTP-Method-Override", b"DELETE")),
    *(("X-Kehu-Shop", b"1"), ("Content-Encoding", b"gzip"), ("Accept-Encoding", b"gzip;q=-1")),
]
# Nobody comes in with one of these.
AUTHORIZATIONS: Final = [
    *(b"", b"Bearer", b"Bearer ", b"bearer  x", b"Bearer \xff\xfe", b"Basic a2VodTprZWh1", b"Bearer null"),
    *(b"Bearer kehu_live_" + b"a" * 38, b"Bearer kehu_live_", b"Bearer " + b"a" * 32, b"Bearer " + b"a" * 60_000),
    *(b"Bearer ' or 1=1 --", "Bearer 王".encode(), b"Bearer \\x00", b"Digest username=x", b"Bearer a, Bearer b"),
]


def some(of: Sequence[T], share: int, shift: int) -> Sequence[T]:
    """Every so many of a list, another part for each shift."""
    return of[shift % share :: share]


def bodies(good: bytes) -> list[bytes]:
    """What stands where a body belongs, made from one that is accepted; all of it is refused."""
    return [
        *(b"null", b"[1]", b'"text"', b"1", b"true", b"{", b"}", b"{]", b'{"a"}', b"{,}", b"\x00", b"\xff" * 10),
        *(b"[" * 10_000, b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"NaN", b"\x1f\x8b"),
        *(good + b"x", good + good, good[:-1], b"\xef\xbb\xbf" + good, good.decode().encode("utf-16")),
        *(gzip.compress(good), b"\xff" + good, good.replace(b"{", b'{"\\u0000":1,', 1), b"--x\r\n" + good),
        b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(20_000)) + b"}",
        b"[" + good + b"]" if good.startswith(b"{") else b"[]",
    ]


def twice(good: bytes) -> bytes:
    """The body with every key of the outermost object given twice, nonsense first."""
    keys = [] if not good.startswith(b"{") else list(orjson.loads(good))
    return b"{" + b"".join(orjson.dumps(key) + b":[{}]," for key in keys) + good[1:]


TEN_MEGABYTES: Final = 10 << 20
# Under the limit of the body and over every other: a million keys, elements or open quotes.
HEAVY: Final = [
    b"{" + b",".join(b'"%x":1' % n for n in range(800_000)) + b"}",
    b"[" + b"{}," * 2_600_000 + b"{}]",
    b'{"a":"' + b"\\u00e9" * 1_300_000 + b'"}',
    b'"' * 8_000_000,
    b"[" * 8_000_000,
    b"9" * 8_000_000,
    b" " * 8_000_000 + b"{}",
]
