"""A shop of ten million customers: what each takes on disk, and what calls cost beside a small or an empty shop.

Everything goes over HTTP to the service in its own process, one call at a time, so that a latency is what one call
takes; creations go over sixteen connections, in turns with the same into an empty database on the same servers.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from statistics import median
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from app.cli.console import say
from app.customers import repository as customers
from app.youzan.repository import BY_IDENTITY
from benchmarks import batch, client, facade, filling, lists, population
from benchmarks.filling import RARE_TAG, TAGS, Book
from benchmarks.lists import TIERS, Timed
from benchmarks.measure import Figure, Plan, percentile, ratio_figure, take_turns
from benchmarks.stage import Stage, Tenant

CUSTOMERS: Final = 10_000_000
_API: Final = "/api/youzan.scrm.customer."
_PAGES: Final = (1, 100, 10_000)
_WALKED: Final = 300
_SLOW: Final = ("attribute", "tag and is_member")
_WARM_UP: Final = 8  # calls that prepare the statement, and have it planned anew as often as Postgres tries
_LONGEST_MS: Final = 50
_BESIDE_BARE_MS: Final = 5
_AS_WHEN_EMPTY: Final = 0.9

_SIZES: Final = """
    select c.oid::regclass::text as name, pg_total_relation_size(c.oid) as total,
           pg_total_relation_size(c.oid) - pg_indexes_size(c.oid) as rows
    from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'vault')
    where c.relkind = 'r' and pg_total_relation_size(c.oid) >= $1::bigint
    order by 2 desc
"""
_INDEX_SIZES: Final = """
    select c.relname as name, pg_relation_size(c.oid) as bytes
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = $1::text::regclass order by 2 desc
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes requests in a shop's name."""

    tenant: Tenant

    def facade(self, api: str, parameters: object) -> bytes:
        """A call of the façade's; `api` without `youzan.scrm.customer.`."""
        return client.request("POST", f"{_API}{api}?access_token={self.tenant.token}", orjson.dumps(parameters))

    def v1(self, path: str = "", **query: Any) -> bytes:
        """A GET below /v1/customers."""
        return client.request("GET", f"/v1/customers{path}?{urlencode(query)}", bearer=self.tenant.api_key)

    def post(self, path: str, body: object) -> bytes:
        """A POST below /v1/customers."""
        return client.request("POST", f"/v1/customers{path}", orjson.dumps(body), bearer=self.tenant.api_key)


def run(plan: Plan) -> list[Figure]:
    """Sizes, latencies, and creations beside those into an empty database."""
    count = plan.population(20_000, CUSTOMERS)
    with filling.filled(plan, count) as (place, tenant, book):
        figures = place.run(lambda: _sizes(place, book))
        filling.cool(place)
        port = place.serve()
        figures += place.run(lambda: _cold(tenant, port, book))
        place.run(lambda: filling.warm(place))
        figures += place.run(lambda: _calls(place, tenant, port, plan, book))
        figures += _creations(place, tenant, port, plan, book)
        place.run(lambda: filling.tidy(place, book))
        return figures


# --- bytes ----------------------------------------------------------------------------------------------------------


async def _sizes(place: Stage, book: Book) -> list[Figure]:
    """Bytes for each customer, by table: rows with what is kept beside them, and each index."""
    figures, everything = [], 0
    async with place.owner() as owner:
        for table in await owner.fetch(_SIZES, book.customers):
            each = table["total"] / book.customers
            everything += table["total"]
            indexes = await owner.fetch(_INDEX_SIZES, table["name"])
            parts = [f"rows {table['rows'] / book.customers:,.0f}"]
            parts += [f"{index['name']} {index['bytes'] / book.customers:,.0f}" for index in indexes]
            figures.append(_bytes(f"size: bytes a customer in {table['name']}", each, ", ".join(parts)))
    loaded = ", ".join(f"{name} {seconds:,.0f} s" for name, seconds in book.done.items())
    form = f"{book.customers:,} customers, {filling.ORDERS_EACH * book.customers:,} orders; loaded in {loaded}"
    return [_bytes("size: bytes a customer in all", everything / book.customers, form), *figures]


def _bytes(name: str, each: float, detail: str) -> Figure:
    return Figure(name, [each], "B", higher_is_better=False, detail=detail)


# --- calls ----------------------------------------------------------------------------------------------------------


async def _cold(tenant: Tenant, port: int, book: Book) -> list[Figure]:
    """What calls take while nothing of the database is in memory: every row that nobody has seen yet is on the disk."""
    random, caller = Random(11), Caller(tenant)  # noqa: S311 repeatable, protects nothing
    end = datetime.fromisoformat(book.end)

    def listed() -> bytes:
        until = end - timedelta(seconds=random.randrange(population.YEARS * 365 * 86_400))
        return caller.v1(limit=50, created_before=until.isoformat())

    def detail() -> bytes:
        account = {"account_type": "2", "account_id": book.people.with_mobile(random)}
        return caller.facade("detail.get/1.0.1", {"account_info": account, "fields": "user_base"})

    async with client.connected(port, 1) as (connection,):

        async def timed(request: bytes) -> float:
            begun = time.perf_counter()
            client.checked(await connection.ask(request), b'"name"')
            return (time.perf_counter() - begun) * 1000

        return [
            await _latency(f"size: {name}, from a cold disk", timed, [make() for _ in range(calls + _WARM_UP)], book)
            for name, make, calls in (("façade detail by mobile", detail, 200), ("/v1 created before", listed, 40))
        ]


async def _calls(place: Stage, tenant: Tenant, port: int, plan: Plan, book: Book) -> list[Figure]:
    calls = 60 if plan.quick else 200
    async with client.connected(port, 1) as (connection,):

        async def timed(request: bytes) -> float:
            begun = time.perf_counter()
            client.checked(await connection.ask(request), b'"name"')
            return (time.perf_counter() - begun) * 1000

        async def timed_if_empty(request: bytes) -> float:
            """A narrow window of a small shop may hold nobody."""
            begun = time.perf_counter()
            client.checked(await connection.ask(request), b'"items"' if request.startswith(b"GET") else b'"code":200,')
            return (time.perf_counter() - begun) * 1000

        caller = Caller(tenant)
        figures = [
            *await _details(timed, caller, book, calls),
            *await _beside_bare(place, timed, caller, book, 2 * calls),
            *await _pages(place, timed, caller, plan, book, calls),
            await _walk(connection, caller, book, calls),
        ]
        for name, requests in (await _filtered(place, caller, book, calls)).items():
            figures.append(await _latency(f"size: {name}", timed_if_empty, requests, book, _LONGEST_MS))
        return figures + await lists.totals(place, tenant, calls, "size", expected=book.customers)


async def _latency(
    name: str, timed: Timed, requests: Sequence[bytes], book: Book, longest: float | None = None
) -> Figure:
    for request in requests[:_WARM_UP]:
        await timed(request)
    taken = [await timed(request) for request in requests[_WARM_UP:]]
    say(f"  {name.removeprefix('size: ')}: median {median(taken):.1f}, p99 {percentile(taken, 0.99):.1f} ms")
    return Figure(
        f"{name}, p99",
        [min(taken), max(taken)],
        "ms",
        longest,
        higher_is_better=False,
        value=percentile(taken, 0.99),
        detail=f"median {median(taken):.1f} ms of {len(taken)} calls, {book.customers:,} customers",
    )


async def _details(timed: Timed, caller: Caller, book: Book, calls: int) -> list[Figure]:
    random, people = Random(5), book.people  # noqa: S311 repeatable, protects nothing
    root = filling.root_key(book)

    def somebody() -> int:
        return people.first + random.randrange(people.count)

    def account(kind: str, value: str, fields: str) -> bytes:
        info = {"account_type": kind, "account_id": value}
        return caller.facade("detail.get/1.0.1", {"account_info": info, "fields": fields})

    def open_id() -> str:
        return root.open_id(book.shop_id, somebody())

    cases: dict[str, Callable[[], bytes]] = {
        "façade detail by mobile": lambda: account("2", people.with_mobile(random), "user_base"),
        "façade detail by mobile with orders and tags": lambda: account(
            "2", people.with_mobile(random), "user_base,behavior,tags"
        ),
        "façade detail by yz_open_id": lambda: account("5", open_id(), "user_base"),
        "/v1 detail by number": lambda: caller.v1(f"/{somebody()}"),
    }
    return [
        await _latency(f"size: {name}", timed, [make() for _ in range(2 * calls + _WARM_UP)], book)
        for name, make in cases.items()
    ]


async def _beside_bare(place: Stage, timed: Timed, caller: Caller, book: Book, calls: int) -> list[Figure]:
    """A lookup through the service in turns with the bare statement on a connection of the tables' owner."""
    random, people = Random(7), book.people  # noqa: S311 repeatable, protects nothing
    keys = caller.tenant.shop.keys
    figures = []
    async with place.owner() as owner:
        for name, query, beside in (
            ("façade detail by mobile", BY_IDENTITY[False], {"beside": "card_no"}),
            ("/v1 lookup by mobile", customers.OWNER, {}),
        ):

            def request(number: str, name: str = name) -> bytes:
                if name.startswith("/v1"):
                    return caller.post("/lookup", {"identity": {"kind": "mobile", "value": f"+86{number}"}})
                info = {"account_type": "2", "account_id": number}
                return caller.facade("detail.get/1.0.1", {"account_info": info, "fields": "user_base"})

            ours, bare = [], []
            for call in range(calls + _WARM_UP):
                # Two different people: whoever came second would find the first one's pages warm.
                number, other = people.with_mobile(random), people.with_mobile(random)
                arguments = query.arguments(
                    {
                        "shop_id": book.shop_id,
                        "kind": "mobile",
                        "value_hash": keys.blind("mobile", f"\x1f+86{other}"),
                        **beside,
                    }
                )
                begun = time.perf_counter()
                found = await owner.fetchrow(query.sql, *arguments)
                taken = (time.perf_counter() - begun) * 1000
                if found is None:
                    raise client.WrongAnswer("the bare query found nobody")
                asked = await timed(request(number))
                if call >= _WARM_UP:
                    ours.append(asked)
                    bare.append(taken)
            ends = percentile(ours, 0.99), percentile(bare, 0.99)
            figures.append(
                Figure(
                    f"size: {name} over the bare query, p99",
                    [ends[0] - ends[1]],
                    "ms",
                    _BESIDE_BARE_MS,
                    higher_is_better=False,
                    detail=f"p99 {ends[0]:.2f} ms, bare {ends[1]:.2f} ms; "
                    f"median {median(ours):.2f} ms, bare {median(bare):.2f} ms; {calls} of each in turns",
                )
            )
    return figures


async def _pages(place: Stage, timed: Timed, caller: Caller, plan: Plan, book: Book, calls: int) -> list[Figure]:
    """Pages behind cursors that are made from the row they follow."""
    figures = []
    for limit in (50, 200):
        first = caller.v1(limit=limit)
        for page in _PAGES:
            if page > 1 and page * limit <= book.customers:
                cursor = await lists.cursor_of_page(place, book.shop_id, page, limit)
                figures.append(
                    await lists.deep_beside_first(
                        f"size: /v1 cursor page {page:,} of {limit} beside page 1",
                        timed,
                        caller.v1(limit=limit, cursor=cursor),
                        first,
                        1.3,
                        plan,
                        calls // 4,
                    )
                )
    deepest = 10_000 // 50
    figures.append(
        await lists.deep_beside_first(
            f"size: façade page {deepest} of 50 beside page 1",
            timed,
            caller.facade("list/1.0.0", {"page_no": deepest, "page_size": 50}),
            caller.facade("list/1.0.0", {"page_no": 1, "page_size": 50}),
            2.0,
            plan,
            calls // 4,
        )
    )
    return figures


async def _walk(connection: client.Connection, caller: Caller, book: Book, calls: int) -> Figure:
    """Pages one after the other, each by the cursor that the one before gave."""
    taken, cursor, seen = [], None, set()
    for _ in range(min(_WALKED, calls, book.customers // 50 - 1)):
        request = caller.v1(limit=50, **({"cursor": cursor} if cursor else {}))
        begun = time.perf_counter()
        answer = client.checked(await connection.ask(request), b'"name"')
        taken.append((time.perf_counter() - begun) * 1000)
        page = orjson.loads(answer.body)
        cursor = page["next_cursor"]
        seen |= {item["id"] for item in page["items"]}
    if len(seen) != 50 * len(taken):
        raise client.WrongAnswer(f"{len(taken)} pages showed {len(seen)} customers")
    return Figure(
        "size: /v1 pages walked one after the other, p99",
        [min(taken), max(taken)],
        "ms",
        _LONGEST_MS,
        higher_is_better=False,
        value=percentile(taken, 0.99),
        detail=f"median {median(taken):.1f} ms of {len(taken)} pages of 50, nobody shown twice",
    )


async def _filtered(place: Stage, caller: Caller, book: Book, calls: int) -> dict[str, list[bytes]]:
    """Requests by filter: first pages and deep ones, windows of every place and width."""
    random, end = Random(3), datetime.fromisoformat(book.end)  # noqa: S311 repeatable, protects nothing
    deep = await lists.cursor_of_page(place, book.shop_id, min(10_000, book.customers // 100), 50)
    tags = await _tags(place, book)
    common = [number for name, number in tags.items() if name != RARE_TAG]

    def window(name: str) -> dict[str, str]:
        start = end - timedelta(days=random.randrange(10, population.YEARS * 365))
        until = start + timedelta(days=random.choice((1, 7, 30, 365)))
        return {f"{name}_from": start.isoformat(), f"{name}_before": until.isoformat()}

    def seconds(name: str) -> dict[str, int]:
        start, until = (int(datetime.fromisoformat(text).timestamp()) for text in window("x").values())
        return {f"{name}_start": start, f"{name}_end": until}

    def listed(**filters: Any) -> bytes:
        return caller.v1(**{"limit": 50} | ({"cursor": deep} if random.random() < 0.5 else {}) | filters)

    def first(**filters: Any) -> bytes:
        return caller.v1(**{"limit": 50} | filters)

    def search(page: int = 1, **filters: Any) -> bytes:
        return caller.facade("search/3.1.2", {"page": page, "page_size": 50} | filters)

    def any_page() -> int:
        return 1 + random.randrange(min(200, book.customers // 1000))

    def store(number: int) -> int:
        return 1 + number % population.STORES

    makers: dict[str, Callable[[int], bytes]] = {
        "/v1 without a filter": lambda n: first(),
        "/v1 by tier": lambda n: listed(tier=TIERS[n % 4]),
        "/v1 by tier, 200 a page": lambda n: listed(tier=TIERS[n % 4], limit=200),
        "/v1 by store": lambda n: listed(store_id=store(n)),
        "/v1 by store, 200 a page": lambda n: listed(store_id=store(n), limit=200),
        "/v1 by tier and store": lambda n: listed(tier=TIERS[n % 4], store_id=store(n)),
        "/v1 by created window": lambda n: first(**window("created")),
        "/v1 by updated window": lambda n: first(**window("updated")),
        "/v1 by created window and store": lambda n: first(store_id=store(n), **window("created")),
        "/v1 by created window and tier": lambda n: first(tier=TIERS[n % 4], **window("created")),
        "/v1 by member": lambda n: listed(member=("true", "false")[n % 2]),
        "/v1 by has_mobile": lambda n: listed(has_mobile=("true", "false")[n % 2]),
        "/v1 by attribute level": lambda n: listed(attribute=f"level:{('gold', 'silver', 'bronze')[n % 3]}"),
        "/v1 by attribute visits": lambda n: listed(attribute=f"visits>={random.choice((1, 100, 500, 900, 990))}"),
        "façade with total by tag": lambda n: search(tag_ids=[common[n % TAGS]]),
        "façade with total by tag, any page": lambda n: search(any_page(), tag_ids=[common[n % 3]]),
        "façade with total by a tag of a hundred": lambda n: search(tag_ids=[tags[RARE_TAG]]),
        "façade with total by one of three tags": lambda n: search(tag_ids=random.sample(common, 3)),
        "façade with total by tag and is_member": lambda n: search(tag_ids=[common[n % TAGS]], is_member=n % 2),
        "façade with total by is_member": lambda n: search(any_page(), is_member=n % 2),
        "façade with total by has_mobile": lambda n: search(any_page(), has_mobile=bool(n % 2)),
        "façade with total by created window": lambda n: search(**seconds("created_at")),
        "façade with total by member window": lambda n: search(**seconds("created_member")),
    }
    # These take long, and are known to.
    share = {name: 3 if any(word in name for word in _SLOW) else 1 for name in makers}
    return {name: [make(number) for number in range(calls // share[name] + _WARM_UP)] for name, make in makers.items()}


async def _tags(place: Stage, book: Book) -> dict[str, int]:
    async with place.owner() as owner:
        rows = await owner.fetch("select name, id from tags where shop_id = $1 order by id", book.shop_id)
    return {row["name"]: row["id"] for row in rows}


# --- creations ------------------------------------------------------------------------------------------------------


def _creations(place: Stage, tenant: Tenant, port: int, plan: Plan, book: Book) -> list[Figure]:
    """The same creations into the full shop and into an empty database, in turns."""
    empty = place.beside("empty")
    other = empty.run(lambda: empty.open_shop("empty"))
    other_port = empty.serve()
    figures = []
    taken = place.run(lambda: _created_before(place, book))
    for what, marker, work in (("creations", b'"code":200,', 1), ("creations in batches", b'"created":1000,', 1000)):

        def requests(of: Tenant, first: int, what: str = what) -> Callable[[], bytes]:
            if what == "creations":
                return partial(_creation, Caller(of), itertools.count(facade.NEW_MOBILES + first))
            rows = batch.new_customers(itertools.count(first))
            return batch.batches("/v1/customers/batch", "customers", rows, of)

        full_side = facade.side(place, "service", port, requests(tenant, taken), marker, work=work)
        empty_side = facade.side(empty, "service", other_port, requests(other, 0), marker, work=work)
        rounds = place.run(partial(take_turns, full_side, empty_side, plan))
        figures.append(
            ratio_figure(f"size: {what} beside an empty database", rounds, _AS_WHEN_EMPTY, "customers", "empty")
        )
    return figures


def _creation(caller: Caller, numbers: "itertools.count[int]") -> bytes:
    body = {"name": "王雨桐", "gender": 2, "contact_address": {"area_code": "310104"}}
    return caller.facade("create/3.0.0", {"mobile": str(next(numbers)), "customer_create": body})


async def _created_before(place: Stage, book: Book) -> int:
    """How many customer numbers earlier runs on this database have taken, at least."""
    async with place.owner() as owner:
        return int(await owner.fetchval("select nextval('customer_ids')")) - book.first - book.customers
