"""What must hold after any fault, asked of the rows themselves. Every check returns what is wrong, in words."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tests.faults.waiting import until_none

Rows = Callable[..., Awaitable[list[dict[str, Any]]]]

# Each finds offending rows of one shop; none may be found at any time.
ALWAYS: Final = {
    "two customers for one identity": """
        select kind, value_hash from identities where shop_id = $1
        group by kind, value_hash having count(distinct customer_id) > 1
    """,
    "customers without an identity": """
        select id from customers c where shop_id = $1 and not exists (
            select from identities i where i.shop_id = c.shop_id and i.customer_id = c.id)
    """,
    "identities without a customer": """
        select customer_id from identities i where shop_id = $1 and not exists (
            select from customers c where c.shop_id = i.shop_id and c.id = i.customer_id)
    """,
    "customers without a key, or keys without a customer": """
        select coalesce(c.id, k.customer_id) as id
        from (select id from customers where shop_id = $1) c
        full join (select customer_id from vault.person_keys where shop_id = $1) k on k.customer_id = c.id
        where c.id is null or k.customer_id is null
    """,
    "items without an order": """
        select order_no from order_items i where shop_id = $1 and not exists (
            select from orders o where o.shop_id = i.shop_id and o.order_no = i.order_no)
    """,
    "keys kept without an answer": "select key from idempotency_keys where shop_id = $1 and reply is null",
    "customers touched twice for one request": """
        select request_id, customer_id from touches where shop_id = $1
        group by request_id, customer_id having count(*) > 1
    """,
    "touches without a request": """
        select id from touches t where shop_id = $1 and not exists (
            select from touch_requests r where r.shop_id = t.shop_id and r.id = t.request_id)
    """,
    "messages owed twice to one endpoint": """
        select endpoint_id, message_id from webhook_deliveries where shop_id = $1
        group by endpoint_id, message_id having count(*) > 1
    """,
    "deliveries of a touch that is not there": """
        select id from webhook_deliveries d where shop_id = $1 and touch_id is not null and not exists (
            select from touches t where t.shop_id = d.shop_id and t.id = d.touch_id)
    """,
    "attempts without a delivery, or beyond its last": """
        select a.delivery_id, a.attempt from webhook_attempts a
        left join webhook_deliveries d on d.shop_id = a.shop_id and d.id = a.delivery_id
        where a.shop_id = $1 and (d.id is null or a.attempt > d.attempt)
    """,
    "deliveries that were accepted more than once": """
        select delivery_id from webhook_attempts where shop_id = $1 and status between 200 and 299
        group by delivery_id having count(*) > 1
    """,
}
# And these once the workers have had their time.
SETTLED: Final = {
    "jobs that are stuck": "select id from queued_jobs where shop_id = $1 and state in ('queued', 'running')",
    "jobs that failed or are quarantined": """
        select id, state from queued_jobs where shop_id = $1 and state in ('failed', 'quarantined')
    """,
    "changes that nobody looked at": "select id from customer_changes where shop_id = $1",
    "facts that nobody fanned out": "select id from domain_events where shop_id = $1",
    "touches that are stuck": "select id, state from touches where shop_id = $1 and state in ('planned', 'sending')",
    "deliveries that are stuck": """
        select id, state from webhook_deliveries where shop_id = $1 and state in ('pending', 'sending')
    """,
    "touches that ended otherwise than their delivery": """
        select t.id, t.state, d.state as delivery from touches t
        left join webhook_deliveries d on d.shop_id = t.shop_id and d.touch_id = t.id
        where t.shop_id = $1 and t.state in ('delivered', 'quarantined') and d.state is distinct from t.state
    """,
    "customers who were never measured": """
        select id from customers c where shop_id = $1 and not exists (
            select from customer_stats s where s.shop_id = c.shop_id and s.customer_id = c.id)
    """,
    "planned touches that are fewer than asked for": """
        select r.id from touch_requests r where r.shop_id = $1 and jsonb_array_length(r.audience -> 'customer_ids') > (
            select count(*) from touches t where t.shop_id = r.shop_id and t.request_id = r.id)
    """,
}


async def violations(rows: Rows, shop_id: int, *, settled: bool = True, but: frozenset[str] = frozenset()) -> list[str]:
    """Everything that is wrong with a shop's rows.

    Args:
        settled: the workers have had their time, so nothing may be left to do.
        but: checks that the scenario itself breaks, such as a row that it quarantines.
    """
    found = []
    for what, sql in (ALWAYS | (SETTLED if settled else {})).items():
        offending = [] if what in but else await rows(sql, shop_id)
        if offending:
            found.append(f"{what}: {len(offending)}, such as {offending[0]}")
    return found


async def unacknowledged_or_doubled(rows: Rows, shop_id: int, acknowledged: Mapping[str, int]) -> list[str]:
    """Whether each acknowledged create is there, is one customer of its own, and was carried out once.

    Args:
        acknowledged: customer numbers by idempotency key.
    """
    found = []
    stored = {row["id"] for row in await rows("select id from customers where shop_id = $1", shop_id)}
    kept = {row["key"] for row in await rows("select key from idempotency_keys where shop_id = $1", shop_id)}
    lost = [key for key, number in acknowledged.items() if number not in stored]
    keyless = acknowledged.keys() - kept
    if lost:
        found.append(f"acknowledged and lost: {len(lost)}, {lost[:3]}")
    if keyless:
        found.append(f"acknowledged without a kept key: {len(keyless)}, {sorted(keyless)[:3]}")
    if len(set(acknowledged.values())) != len(acknowledged):
        found.append("one customer was acknowledged under two keys")
    if len(stored) != len(acknowledged):
        found.append(f"{len(stored)} customers for {len(acknowledged)} acknowledged creates")
    return found


async def unlogged(rows: Rows, shop_id: int, writes: int, *, call: str = "POST /v1/customers") -> list[str]:
    """Whether the access log holds at least one row for each acknowledged write."""
    (row,) = await rows(
        "select count(*) as logged from access_log where shop_id = $1 and call = $2 and result = 'ok'", shop_id, call
    )
    return (
        [f"{writes} writes were acknowledged, {row['logged']} are in the access log"] if row["logged"] < writes else []
    )


async def owed(rows: Rows, shop_id: int) -> list[str]:
    """The message ids of all deliveries."""
    return [
        row["message_id"] for row in await rows("select message_id from webhook_deliveries where shop_id = $1", shop_id)
    ]


async def written(rows: Rows, shop_id: int) -> list[dict[str, Any]]:
    """All that a worker writes about deliveries and touches: equal before and after means that nothing was written."""
    return [
        *await rows("select * from webhook_deliveries where shop_id = $1 order by id", shop_id),
        *await rows("select * from webhook_attempts where shop_id = $1 order by delivery_id, attempt", shop_id),
        *await rows("select * from touches where shop_id = $1 order by id", shop_id),
    ]


async def until_settled(rows: Rows, shop_id: int, *, seconds: float) -> list[str]:
    """Wait until nothing is wrong any more. Returns what still is when the time is over."""
    return await until_none(lambda: violations(rows, shop_id), seconds=seconds)
