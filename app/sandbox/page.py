"""The sandbox's page: one HTML document without scripts or outside parts; everything from a message is escaped."""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

import orjson

from app.core.db import Row

# Nothing may be loaded or run, whatever a message holds.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<title>Kehu sandbox</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ddd }
td { overflow-wrap: anywhere } td.fixed { white-space: nowrap }
</style>
<h1>Sandbox inbox</h1>
<p>Messages that reached the sandbox, newest first. Nobody outside received them.</p>
<table>
<thead><tr><th>Received (UTC)</th><th>Kind</th><th>Customer</th><th>Text</th></tr></thead>
<tbody>
<!-- lines -->
</tbody>
</table>
</html>
"""


def render(messages: Sequence[Row]) -> str:
    """The page of these messages."""
    lines = "\n".join(map(_line, messages)) or "<tr><td colspan=4>None yet.</td></tr>"
    return _PAGE.replace("<!-- lines -->", lines)


def _line(message: Row) -> str:
    data = _data(message["body"])
    text = data.get("message") or orjson.dumps(data).decode()
    cells = (f"{message['received_at']:%Y-%m-%d %H:%M:%S}", message["kind"], data.get("customer_id") or "")
    fixed = "".join(f'<td class="fixed">{escape(str(cell))}</td>' for cell in cells)
    return f"<tr>{fixed}<td>{escape(str(text))}</td></tr>"


def _data(body: str) -> dict[str, Any]:
    try:
        data = orjson.loads(body)["data"]
    except (ValueError, KeyError, TypeError):
        data = None
    return data if isinstance(data, dict) else {}
