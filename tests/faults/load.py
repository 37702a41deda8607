"""Clients under faults: they repeat what got no answer, and remember what they were told."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

import orjson

from tests.faults.ground import HOST, Service, Tenant

CREATE: Final = "/api/youzan.scrm.customer.create/3.0.0"
_ANSWER_SECONDS: Final = 20.0
_PAUSE_SECONDS: Final = 0.05
_BROKEN: Final = (OSError, EOFError, asyncio.IncompleteReadError)


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body."""
        return orjson.loads(self.body)


class Caller:
    """One keep-alive connection, opened anew whenever it broke."""

    def __init__(self, ports: Sequence[int], chance: Random) -> None:
        self._ports, self._chance = ports, chance
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One exchange. Raises OSError, EOFError or TimeoutError when there is no answer."""
        body = b"" if value is None else orjson.dumps(value)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}", *(f"{name}: {text}" for name, text in (headers or {}).items())]
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = self._streams or await self._open()
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *rest = head.split("\r\n")
                found = {name.lower(): text for name, _, text in (line.partition(": ") for line in rest if line)}
                content = await reader.readexactly(int(found.get("content-length", 0)))
        except (*_BROKEN, TimeoutError):
            self.close()
            raise
        return Reply(int(first.split(" ")[1]), found, content)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_connection(HOST, self._chance.choice(self._ports))
        return self._streams

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


@dataclass
class Told:
    """What clients were told. `strange`: answers that no fault excuses."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    moments: list[float] = field(default_factory=list)  # of acknowledgements
    statuses: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0

    def first_after(self, moment: float) -> float:
        """Seconds from a moment to the next acknowledgement; infinite if there was none."""
        return min((one - moment for one in self.moments if one >= moment), default=float("inf"))


class Creates:
    """Keyed creates of new customers by several clients at once, through /v1 or the façade."""

    def __init__(self, tenant: Tenant, ports: Sequence[int], chance: Random, *, clients: int = 16) -> None:
        self._tenant, self._ports, self._chance, self._clients = tenant, ports, chance, clients
        self._numbers = iter(range(1_000_000))
        self._stopping = False
        self.told = Told()
        self.facade = Told()

    def stop(self) -> None:
        """Begin no more; those under way are still seen through."""
        self._stopping = True

    async def run(self, count: int | None = None, *, pause_seconds: float = 0.0, facade_clients: int = 0) -> None:
        """So many creates, or until stopped; each is repeated until it is acknowledged."""
        left = iter(range(count)) if count is not None else iter(int, 1)

        async def client(through_facade: bool) -> None:
            caller = Caller(self._ports, self._chance)
            try:
                while not self._stopping and next(left, None) is not None:
                    number = next(self._numbers)
                    await (self._facade(caller, number) if through_facade else self._v1(caller, number))
                    if pause_seconds:
                        await asyncio.sleep(pause_seconds)
            finally:
                caller.close()

        await asyncio.gather(*(client(index < facade_clients) for index in range(self._clients)))

    async def _v1(self, caller: Caller, number: int) -> None:
        key = f"create-{number}"
        headers = {"Authorization": f"Bearer {self._tenant.api_key}", "Idempotency-Key": key}
        body = {"identities": [{"kind": "mobile", "value": mobile(number)}], "name": "测试"}
        while True:
            begun = time.monotonic()
            reply = await self._reply(caller, self.told, "/v1/customers", body, headers)
            if reply is not None:
                self.told.slowest_seconds = max(self.told.slowest_seconds, time.monotonic() - begun)
                self.told.statuses[str(reply.status)] += 1
                if reply.status == 201:
                    self._acknowledge(self.told, key, reply.json["id"])
                    return
                waits = reply.status == 503 and "retry-after" in reply.headers
                if not waits and not (reply.status == 409 and reply.json["code"] == "idempotency_in_progress"):
                    # 200 too: a repetition under the key must be told what the first was told
                    self.told.strange.append(f"{reply.status} {reply.body[:200]!r}")
                    return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _facade(self, caller: Caller, number: int) -> None:
        """The façade takes no key: a create that happened without an answer is told as 'already there'."""
        path = f"{CREATE}?access_token={self._tenant.token}"
        repeated = False
        while True:
            reply = await self._reply(caller, self.facade, path, {"mobile": mobile(number)}, {})
            if reply is not None:
                body = reply.json if reply.status == 200 else {}
                code = body.get("gw_err_resp", {}).get("err_code") or body.get("code")
                self.facade.statuses[f"{reply.status}/{code}"] += 1
                if code == 200 or (code == 143001027 and repeated):
                    self._acknowledge(self.facade, mobile(number), number)
                    return
                if reply.status != 200 or code != 5001:
                    self.facade.strange.append(f"{reply.status} {reply.body[:200]!r}")
                    return
            repeated = True
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _reply(
        self, caller: Caller, told: Told, path: str, body: Any, headers: Mapping[str, str]
    ) -> Reply | None:
        try:
            return await caller.ask("POST", path, body, headers)
        except (*_BROKEN, TimeoutError) as error:
            told.statuses["timeout" if isinstance(error, TimeoutError) else "broken"] += 1
            return None

    @staticmethod
    def _acknowledge(told: Told, key: str, number: int) -> None:
        told.acknowledged[key] = number
        told.moments.append(time.monotonic())


def mobile(number: int) -> str:
    """A number that is nobody's twice."""
    return f"139{number:08d}"


class Shopkeeper:
    """Sets the scene through the API: people, an endpoint, touches."""

    def __init__(self, service: Service, tenant: Tenant) -> None:
        self._caller = Caller([service.port], Random(0))
        self._tenant = tenant

    async def call(self, method: str, path: str, value: Any = None, **headers: str) -> Any:
        """One call that must succeed."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        reply = await self._caller.ask(method, path, value, {"Authorization": f"Bearer {self._tenant.api_key}"} | named)
        self._caller.close()  # between two calls a server may hang up, and this one is not to be repeated
        assert 200 <= reply.status < 300, (method, path, reply.status, reply.body[:300])
        return reply.json if reply.body else None

    async def people(self, count: int, *, first: int = 0) -> list[int]:
        """New customers, by the thousand."""
        numbers: list[int] = []
        for begin in range(first, first + count, 1000):
            some = range(begin, min(begin + 1000, first + count))
            batch = [{"identities": [{"kind": "mobile", "value": mobile(number)}]} for number in some]
            answer = await self.call("POST", "/v1/customers/batch", {"customers": batch})
            numbers += [row["customer_id"] for row in answer["results"]]
        return numbers

    async def subscribe(self, url: str, *kinds: str) -> str:
        """Returns the endpoint's id."""
        answer = await self.call("POST", "/v1/webhooks", {"url": url, "kinds": list(kinds)})
        return str(answer["id"])

    async def touch(self, customer_ids: Iterable[int], key: str) -> None:
        """Ask for touches."""
        await self.call("PUT", "/v1/templates/shipped", {"category": "transactional", "body": "您的订单已发货"})
        wanted = {"template": "shipped", "audience": {"customer_ids": list(customer_ids)}}
        await self.call("POST", "/v1/triggers/touches", wanted, Idempotency_Key=key)
