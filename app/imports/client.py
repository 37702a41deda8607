"""Drives the batch calls over HTTP: full batches, a few in flight, retried until they are answered."""

import asyncio
import random
import re
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import httpx
import orjson

from app.imports.errors import ServerRefused
from app.imports.rows import Outgoing, Payload, RowError

BATCH_ROWS = 1000
# Below the server's 8 MiB with room for a proxy that counts differently.
BATCH_BYTES = 6 << 20
RETRIED = frozenset({429, 500, 502, 503, 504})
_BAD_BODY = frozenset({400, 413, 422})
_OUTCOMES = ("created", "updated", "unchanged")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to keep trying: with these, 7 waits of 0.5 to 30 s, about a minute, unless Retry-After asks for more."""

    attempts: int = 8
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    longest_retry_after_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """One row as the JSON that is sent, with the line it came from."""

    line: int
    body: bytes


@dataclass(slots=True)
class Tally:
    """What became of the rows that were accepted."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    @property
    def accepted(self) -> int:
        return self.created + self.updated + self.unchanged


@dataclass(slots=True)
class Delivery:
    """Where batches go: `name` is customers or orders; `refuse` is told of every row the server refuses."""

    http: httpx.AsyncClient
    name: str
    refuse: Callable[[RowError], None]
    patience: Patience
    tally: Tally = field(default_factory=Tally)

    async def send(self, batch: Sequence[Encoded]) -> None:
        """Deliver a batch. When its body is refused as a whole, find the rows that spoil it and deliver the others.

        Raises: ServerRefused.
        """
        waiting = [batch]
        while waiting:
            rows = waiting.pop()
            body = b'{"%s":[%s]}' % (self.name.encode(), b",".join(row.body for row in rows))
            response = await call(self.http, "POST", f"/v1/{self.name}/batch", body, patience=self.patience)
            if response.status_code == 200:
                self._settle(rows, response)
            elif response.status_code not in _BAD_BODY:
                raise ServerRefused(f"The server refused a batch: {_describe(response)}")
            else:
                waiting += self._without_the_bad(rows, _problem(response))

    def _settle(self, rows: Sequence[Encoded], response: httpx.Response) -> None:
        try:
            results = {result["index"]: result for result in response.json()["results"]}
            answers = [(row, results[index], results[index]["status"]) for index, row in enumerate(rows)]
        except (ValueError, KeyError, TypeError):
            raise ServerRefused(
                "The server's answer to a batch cannot be understood: is this a Kehu address?"
            ) from None
        for row, result, status in answers:
            if status in _OUTCOMES:
                setattr(self.tally, status, getattr(self.tally, status) + 1)
            else:
                self._refuse(row, result.get("error") or {})

    def _without_the_bad(self, rows: Sequence[Encoded], problem: Payload) -> list[Sequence[Encoded]]:
        """Refuse the rows the problem names and return the others; when it names none, halve until it is about one."""
        code, errors = problem.get("code"), _errors(problem)
        if len(rows) == 1:
            detail = problem.get("detail") or problem.get("title")
            first = errors[0] if errors else {"message": detail}
            self._refuse(rows[0], {"code": code, "detail": first.get("message") or detail, "field": first.get("field")})
            return []
        named = self._named(errors, len(rows))
        for index, error in named.items():
            self._refuse(rows[index], {"code": code, "detail": error.get("message"), "field": error.get("field")})
        if named:
            good = [row for index, row in enumerate(rows) if index not in named]
            return [good] if good else []
        middle = len(rows) // 2
        return [rows[middle:], rows[:middle]]

    def _named(self, errors: Sequence[Payload], count: int) -> dict[int, Payload]:
        """The first error of each row that the errors point at, with a field such as `orders.17.paid_at`."""
        pattern = re.compile(rf"\b{self.name}\W+(\d{{1,6}})\b")
        named: dict[int, Payload] = {}
        for error in errors:
            match = pattern.search(str(error.get("field")))
            if match and int(match[1]) < count:
                named.setdefault(int(match[1]), error)
        return named

    def _refuse(self, row: Encoded, error: Payload) -> None:
        reason = str(error.get("detail") or error.get("code") or "refused without a reason")
        self.refuse(
            RowError(row.line, column(error.get("field"), row.body), reason, str(error.get("code") or "server"))
        )


def column(field: object, body: bytes) -> str:
    """The file's column for a field as the server names it: `orders.0.amount_fen` is amount, an identity its kind."""
    path = re.sub(r"^\W*(?:body\W+)?(?:(?:customers|orders)\W+\d+\W*)?", "", str(field or ""))
    identity = re.match(r"identities\W+(\d{1,3})", path)
    if identity:
        named = orjson.loads(body)["identities"]
        index = int(identity[1])
        return str(named[index]["kind"]) if index < len(named) else "identities"
    name = re.sub(r"^items\W+\d+\W+", "", path)
    return {"amount_fen": "amount", "price_fen": "unit_price"}.get(name, name)


def connect(base_url: str, api_key: str) -> httpx.AsyncClient:
    """A client for one shop's API. Raises ServerRefused for an address or key that cannot be one."""
    try:
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in ("http", "https") or not url.host:
            raise ServerRefused(f"{base_url} is not an http or https address")
        return httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
            timeout=httpx.Timeout(60, connect=10),
            # A proxy from the environment would be asked for its own loopback, not for ours.
            trust_env=not _is_loopback(url.host),
        )
    except (httpx.InvalidURL, UnicodeEncodeError):
        raise ServerRefused("The server's address or the API key contains characters that neither can have") from None


async def shop(http: httpx.AsyncClient, patience: Patience) -> Payload:
    """The shop the key belongs to. Raises ServerRefused."""
    response = await call(http, "GET", "/v1/shop", patience=Patience(min(3, patience.attempts), patience.first_seconds))
    if response.status_code != 200:
        raise ServerRefused(f"The server refused the API key or the call: {_describe(response)}")
    found = _problem(response)
    if "timezone" not in found:
        raise ServerRefused("The server's answer cannot be understood: is this a Kehu address?")
    return found


async def call(
    http: httpx.AsyncClient, method: str, url: str, content: bytes | None = None, *, patience: Patience
) -> httpx.Response:
    """One call, repeated while the server is busy or away: all of ours may run twice. Raises ServerRefused."""
    trouble = ""
    for attempt in range(patience.attempts):
        asked = 0.0
        try:
            response = await http.request(method, url, content=content)
            if response.status_code not in RETRIED:
                return response
            trouble, asked = _describe(response), _retry_after(response)
        except (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError) as exc:
            trouble = f"{type(exc).__name__} {exc}".strip()
        except (httpx.TransportError, httpx.DecodingError) as exc:
            raise ServerRefused(f"Cannot call {http.base_url}: {exc}") from exc
        if attempt + 1 < patience.attempts:
            await asyncio.sleep(_wait_seconds(attempt, asked, patience))
    raise ServerRefused(f"No answer from {http.base_url} after {patience.attempts} attempts: {trouble}")


def batches(
    records: Iterator[Outgoing | RowError],
    refuse: Callable[[RowError], None],
    *,
    rows: int = BATCH_ROWS,
    size: int = BATCH_BYTES,
) -> Iterator[list[Encoded]]:
    """Group payloads into batches within both limits; refusals, and payloads too large for any batch, go aside."""
    batch: list[Encoded] = []
    length = 0
    for record in records:
        if isinstance(record, RowError):
            refuse(record)
            continue
        body = orjson.dumps(record.payload)
        if len(body) + 64 > size:
            refuse(RowError(record.line, "", f"the row is {len(body):,} bytes as JSON, more than one call may carry"))
            continue
        if batch and (len(batch) == rows or length + len(body) + 64 > size):
            yield batch
            batch, length = [], 0
        batch.append(Encoded(record.line, body))
        length += len(body) + 1
    if batch:
        yield batch


async def deliver(
    work: Iterator[list[Encoded]],
    send: Callable[[list[Encoded]], Coroutine[Any, Any, None]],
    *,
    in_flight: int,
    progress: Callable[[], None],
) -> None:
    """Send every batch, `in_flight` at a time, reading the next while they travel. The first failure ends it all."""
    running: set[asyncio.Task[None]] = set()
    try:
        # Read in a thread, because parsing a large file would hold up the event loop.
        while batch := await asyncio.to_thread(next, work, None):
            running.add(asyncio.create_task(send(batch)))
            if len(running) >= in_flight:
                running = await _settled(running, progress)
        while running:
            running = await _settled(running, progress)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _settled(running: set[asyncio.Task[None]], progress: Callable[[], None]) -> set[asyncio.Task[None]]:
    done, still = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    progress()
    return still


def _wait_seconds(attempt: int, asked: float, patience: Patience) -> float:
    backoff = min(patience.first_seconds * 2.0**attempt, patience.longest_seconds)
    jitter = random.uniform(0.5, 1)  # noqa: S311  spreads clients apart, keeps no secret
    return max(backoff * jitter, min(asked, patience.longest_retry_after_seconds))


def _retry_after(response: httpx.Response) -> float:
    """Seconds asked for, as a number or a date; 0 when nothing readable is."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    try:
        when = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _problem(response: httpx.Response) -> Payload:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _errors(problem: Payload) -> list[dict[str, Any]]:
    errors = problem.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _describe(response: httpx.Response) -> str:
    problem = _problem(response)
    said = " ".join(str(problem[key]) for key in ("code", "detail") if problem.get(key)) or problem.get("title", "")
    return f"{response.status_code} {said}".strip()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
