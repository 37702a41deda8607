"""What the ledger says of many people at once, as SQL: for whatever asks who somebody is."""

from app.consent.repository import STANDS


def states(prefix: str, *, few: bool) -> str:
    """A SELECT of customer_id and state, granted or withdrawn, of everybody of whom anything is said.

    It judges as what goes out is judged: a channel that was withdrawn by name comes back only by name, one that was
    granted by name goes with a later withdrawal of all, and of a merged person the strictest word counts.

    Binds `:shop_id`, `:<prefix>_purpose`, `:<prefix>_channel`, and with `few` the people, as `:customer_ids`.
    """
    newest = "(array_agg(x.state order by x.occurred_at desc, x.id desc) {only})[1]"
    own = newest.format(only=f"filter (where x.channel = cast(:{prefix}_channel as text))")
    every = newest.format(only="filter (where x.channel = '*')")
    wider = f"(g.channel = x.channel or (x.channel = '*' and g.channel = cast(:{prefix}_channel as text)))"
    return f"""
        select x.customer_id, case
                when bool_or({STANDS.format(wider=wider)}) then 'withdrawn'
                when {own} is null then {every}
                when {own} = 'granted' and {every} = 'withdrawn' then {newest.format(only="")}
                else {own}
            end as state
        from consents x join customers c on c.shop_id = x.shop_id and c.id = x.customer_id
        where x.shop_id = :shop_id and x.purpose = cast(:{prefix}_purpose as text)
            and x.channel in (cast(:{prefix}_channel as text), '*')
            {"and x.customer_id = any(cast(:customer_ids as bigint[]))" if few else ""}
        group by x.customer_id
    """  # noqa: S608 terms of our own
