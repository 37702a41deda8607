"""Who comes and who goes, written down: membership, the log, sizes, automatic tags, and what is told."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal, NamedTuple

from sqlalchemy import text

from app.changes.repository import EVENTS_BELL
from app.core.db import Connection, statement, unnest

ENTERED: Final = "segment.entered"
LEFT: Final = "segment.left"
TOLD_AT_ONCE: Final = 1_000

Cause = Literal["fact", "time", "definition", "merge", "run"]


class Move(NamedTuple):
    """A customer who enters a segment or leaves it.

    Args:
        owner_id: who answers for the customer: another one after a merge.
        version: of the rule that says so.
    """

    segment_id: int
    customer_id: int
    owner_id: int
    version: int
    cause: Cause


# Of `moved` (segment_id, customer_id, owner_id, version, cause, entered). The tag of a record that was merged is its
# own; whoever leaves loses all that stand for them.
EFFECTS: Final = f"""
    logged as (
        insert into segment_changes (shop_id, segment_id, customer_id, entered, version, cause, changed_at)
        select :shop_id, segment_id, customer_id, entered, version, cause, :moment from moved
        order by segment_id, customer_id
    ),
    counted as (
        insert into segment_moves (shop_id, segment_id, moved)
        select :shop_id, segment_id, sum(case when entered then 1 else -1 end) from moved group by segment_id
    ),
    told as (
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select :shop_id, kehu_new_id(), case when entered then '{ENTERED}' else '{LEFT}' end, customer_id,
            jsonb_build_object(
                'segment_id', segment_id, 'segment', name, 'version', version, 'cause', cause,
                'customer_ids', to_jsonb(customer_ids)
            ) || case when customer_id is null then '{{}}'::jsonb
                      else jsonb_build_object('customer_id', customer_id) end,
            :moment
        from (
            select m.segment_id, s.name, m.entered, m.version, m.cause,
                case when s.announce = 'each' then m.customer_id end as customer_id,
                array_agg(m.customer_id order by m.customer_id) as customer_ids
            from (
                select *, row_number() over (
                    partition by segment_id, entered, version, cause order by customer_id
                ) - 1 as number from moved
            ) m
            join segments s on s.shop_id = :shop_id and s.id = m.segment_id and s.announce <> 'nothing'
            group by m.segment_id, s.name, m.entered, m.version, m.cause,
                case when s.announce = 'each' then m.customer_id end, m.number / {TOLD_AT_ONCE}
        ) each_message
    ),
    carrying as (
        select m.*, s.tag_id, 'segment:' || s.id as actor, t.name, s.announce <> 'nothing' as aloud
        from moved m
        join segments s on s.shop_id = :shop_id and s.id = m.segment_id and s.tag_id is not null
        join tags t on t.shop_id = :shop_id and t.id = s.tag_id
    ),
    tagged as (
        insert into customer_tags
            (shop_id, customer_id, tag_id, origin_customer_id, source, actor, rule_version, assigned_at)
        select :shop_id, customer_id, tag_id, customer_id, 'rule', actor, version, :moment from carrying
        where entered order by customer_id, tag_id
        on conflict do nothing
    ),
    untagged as (
        delete from customer_tags a using carrying m
        where a.shop_id = :shop_id and a.tag_id = m.tag_id and a.customer_id = m.owner_id
            and a.source = 'rule' and a.actor = m.actor and not m.entered
            and (m.owner_id = m.customer_id or a.origin_customer_id = m.customer_id)
    ),
    tag_told as (
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select :shop_id, kehu_new_id(), case when entered then 'tag.added' else 'tag.removed' end, customer_id,
            jsonb_build_object('customer_id', customer_id, 'tag_id', tag_id, 'tag_name', name), :moment
        from carrying where aloud
    )
    select count(*) from moved
"""  # noqa: S608 names of our own

_MOVES: Final = {
    "segment_id": "bigint",
    "customer_id": "bigint",
    "owner_id": "bigint",
    "version": "integer",
    "cause": "text",
}
_COMING: Final = {f"coming_{name}": kind for name, kind in _MOVES.items()}
_GOING: Final = {f"going_{name}": kind for name, kind in _MOVES.items()}


def _rows(prefix: str) -> str:
    arrays = unnest({f"{prefix}_{name}": kind for name, kind in _MOVES.items()}).rpartition(" as t (")[0]
    return f"select * from {arrays} as t ({', '.join(_MOVES)})"  # noqa: S608 names of our own


MOVE = statement(
    text(
        f"""
        with coming as ({_rows("coming")}), going as ({_rows("going")}),
        came as (
            insert into segment_members (shop_id, segment_id, customer_id, version, entered_at)
            select :shop_id, segment_id, customer_id, version, :moment from coming order by segment_id, customer_id
            on conflict do nothing
            returning segment_id, customer_id
        ),
        gone as (
            delete from segment_members m using going t
            where m.shop_id = :shop_id and m.segment_id = t.segment_id and m.customer_id = t.customer_id
            returning m.segment_id, m.customer_id
        ),
        moved as (
            select coming.*, true as entered from coming join came using (segment_id, customer_id)
            union all
            select going.*, false from going join gone using (segment_id, customer_id)
        ),
        {EFFECTS}
        """  # noqa: S608 names of our own
    )
)


async def move(
    db: Connection, shop_id: int, coming: Collection[Move], going: Collection[Move], moment: datetime
) -> int:
    """Write down who comes and goes, of customers whom nobody else is looking at. Returns how many were moved."""
    if not coming and not going:
        return 0
    moved: int = await db.fetch_value(
        MOVE, shop_id=shop_id, moment=moment, **_arrays("coming", coming), **_arrays("going", going)
    )
    if moved:
        db.ring(EVENTS_BELL)
    return moved


def _arrays(prefix: str, moves: Collection[Move]) -> dict[str, list[object]]:
    each = zip(*moves, strict=True) if moves else [()] * len(_MOVES)
    return {f"{prefix}_{name}": list(values) for name, values in zip(_MOVES, each, strict=True)}
