"""Drives an import over HTTP: uploads the file as it is read, follows it to its end, writes down what was left out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, Final

import httpx

from app.imports.errors import FileRefused, ServerRefused
from app.imports.report import Report

_PIECE: Final = 256 * 1024
_POLL_SECONDS: Final = (0.1, 1.0)  # from and to
_UNTAKEN_SECONDS: Final = 10.0
_OPEN: Final = ("uploading", "queued", "running")
_RETRIED: Final = frozenset({429, 500, 502, 503, 504})
_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did; of a dry run, what it would do.

    `rows` counts the file's rows; `created`, `updated`, `unchanged` and `refused` count what the file is about.
    `report_path` is None when nothing was refused. `unknown_columns` names what was ignored, as the file spells it.
    """

    id: str
    state: str
    rows: int
    created: int
    updated: int
    unchanged: int
    refused: int
    seconds: float
    report_path: Path | None
    unknown_columns: tuple[str, ...] = ()


Progress = Callable[[dict[str, Any]], None]


async def import_file(
    kind: str,
    path: Path | str,
    *,
    base_url: str,
    api_key: str,
    source: str = "import",
    policy: str = "overwrite",
    dry_run: bool = False,
    on_progress: Progress | None = None,
    on_wait: Callable[[], None] | None = None,
    report_path: Path | None = None,
) -> ImportResult:
    """Import a file of a kind; one that ends in .ndjson or .jsonl holds JSON objects, .gz says that it is packed.

    Args:
        source: the system whose numbers the `external_id` column holds; it becomes their scope.
        on_progress: called with the import as GET /v1/imports/{id} shows it.
        on_wait: called once when no worker has taken the import after ten seconds.
        report_path: where refused rows go; by default beside the file, as `NAME.refused.csv`.
    Raises: FileRefused, ServerRefused. What was put in before stays, and a rerun is safe.
    """
    path, started = Path(path), time.monotonic()
    name = path.name.removesuffix(".gz")
    params = {
        "kind": kind,
        "format": "ndjson" if name.endswith((".ndjson", ".jsonl")) else "csv",
        "policy": policy,
        "dry_run": str(dry_run).lower(),
        "source": source,
    }
    async with connect(base_url, api_key) as http:
        told = await _upload(http, path, params, packed=path.name.endswith(".gz"))
        told = await _follow(http, told, on_progress, on_wait)
        if told["state"] == "refused":
            raise FileRefused(f"{path}: {told['reason']}")
        stem = name.rpartition(".")[0] or name
        with Report(report_path or path.with_name(f"{stem}.refused.csv")) as report:
            if told["refused"]:
                await _write_down(http, told["id"], report)
            names = ("id", "state", "rows", "created", "updated", "unchanged", "refused")
            return ImportResult(
                **{name: told[name] for name in names},
                seconds=time.monotonic() - started,
                report_path=report.path,
                unknown_columns=tuple(told["unknown_columns"]),
            )


def connect(base_url: str, api_key: str) -> httpx.AsyncClient:
    """A client for one shop's API. Raises ServerRefused for an address or key that cannot be one."""
    try:
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in ("http", "https") or not url.host:
            raise ServerRefused(f"{base_url} is not an http or https address")
        return httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(120, connect=10),
            # A proxy from the environment would be asked for its own loopback, not for ours.
            trust_env=not _is_loopback(url.host),
        )
    except (httpx.InvalidURL, UnicodeEncodeError):
        raise ServerRefused("The server's address or the API key contains characters that neither can have") from None


async def _upload(http: httpx.AsyncClient, path: Path, params: dict[str, str], *, packed: bool) -> dict[str, Any]:
    headers = {"Content-Type": "application/x-ndjson" if params["format"] == "ndjson" else "text/csv"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    try:
        with path.open("rb") as file:
            content = _pieces(file)
            response = await http.post("/v1/imports", params=params, headers=headers, content=content)
    except OSError as exc:
        raise FileRefused(f"Cannot read {path}: {exc.strerror or exc}") from exc
    except httpx.TransportError as exc:
        raise ServerRefused(f"The upload to {http.base_url} broke off: {type(exc).__name__} {exc}".rstrip()) from exc
    if response.status_code != 202:
        raise ServerRefused(f"The server refused the file: {_describe(response)}")
    return _understood(response)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece


async def _follow(
    http: httpx.AsyncClient, told: dict[str, Any], on_progress: Progress | None, on_wait: Callable[[], None] | None
) -> dict[str, Any]:
    """The import when it has ended."""
    pause, waiting_since = _POLL_SECONDS[0], time.monotonic()
    while told["state"] in _OPEN:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _POLL_SECONDS[1])
        told = await _get(http, f"/v1/imports/{told['id']}")
        if on_progress:
            on_progress(told)
        if told["state"] == "queued" and on_wait and time.monotonic() - waiting_since > _UNTAKEN_SECONDS:
            on_wait()
            on_wait = None
    return told


async def _write_down(http: httpx.AsyncClient, import_id: str, report: Report) -> None:
    cursor: str | None = ""
    while cursor is not None:
        page = await _get(
            http, f"/v1/imports/{import_id}/errors", {"limit": "200"} | ({"cursor": cursor} if cursor else {})
        )
        for error in page["items"]:
            report.add(error["line"], error["field"], error["reason"], error["remedy"])
        cursor = page["next_cursor"]


async def _get(http: httpx.AsyncClient, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
    """One read, repeated while the server is busy or away. Raises ServerRefused."""
    trouble = ""
    for attempt in range(_ATTEMPTS):
        try:
            response = await http.get(path, params=params)
            if response.status_code not in _RETRIED:
                if response.status_code == 200:
                    return _understood(response)
                raise ServerRefused(f"The server refused the call: {_describe(response)}")
            trouble = _describe(response)
        except httpx.TransportError as exc:
            trouble = f"{type(exc).__name__} {exc}".strip()
        if attempt + 1 < _ATTEMPTS:
            await asyncio.sleep(min(0.5 * 2.0**attempt, 15))
    raise ServerRefused(f"No answer from {http.base_url} after {_ATTEMPTS} attempts: {trouble}")


def _understood(response: httpx.Response) -> dict[str, Any]:
    body = _body(response)
    if not ({"id", "state"} <= body.keys() or {"items", "next_cursor"} <= body.keys()):
        raise ServerRefused("The server's answer cannot be understood: is this a Kehu address?")
    return body


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _describe(response: httpx.Response) -> str:
    problem = _body(response)
    said = " ".join(str(problem[key]) for key in ("code", "detail") if problem.get(key)) or problem.get("title", "")
    return f"{response.status_code} {said}".strip()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
