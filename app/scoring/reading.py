"""Scores as they are read: one customer's, their history, and everybody's as a stream."""

from typing import Final

from sqlalchemy import text

from app.core.db import of, statement
from app.scoring.facts import STATS
from app.scoring.judging import PREDICTIONS, SCORES

_FIGURES: Final = of("s", STATS)

SCORES_OF = statement(
    text(
        f"""
        select c.id as customer_id, c.mobile is not null as contactable, c.source_channel, {_FIGURES},
               {of("k", SCORES)}, {of("g", PREDICTIONS)}, k.run_id
        from customers c
        left join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id
        left join customer_scores k on k.shop_id = c.shop_id and k.customer_id = c.id
        left join customer_predictions g on g.shop_id = c.shop_id and g.customer_id = c.id
        where c.shop_id = :shop_id and c.id = :customer_id
        """  # noqa: S608 column names of our own
    )
)


def _history(of: str) -> str:
    return f"""
        select from_{of}, to_{of}, cause, run_id, as_of, changed_at from {of}_changes
        where shop_id = :shop_id and customer_id = :customer_id order by changed_at desc, id desc limit :limit
    """  # noqa: S608 names of our own


TIER_HISTORY = statement(text(_history("tier")))
STAGE_HISTORY = statement(text(_history("stage")))

# The external id that a customer has had for longest.
EXTERNAL: Final = """
    left join lateral (
        select i.value, i.origin_customer_id, key.wrapped from identities i
        join vault.person_keys key on key.shop_id = i.shop_id and key.customer_id = i.origin_customer_id
        where i.shop_id = s.shop_id and i.customer_id = s.customer_id and i.kind = 'external_id'
        order by i.first_seen_at, i.value_hash limit 1
    ) e on true
"""
EXPORT_LIVE = statement(
    text(
        f"""
        select s.customer_id, {_FIGURES}, {of("k", SCORES)}, {of("g", PREDICTIONS)}, e.value, e.origin_customer_id,
               e.wrapped
        from customer_stats s
        join customers c on c.shop_id = s.shop_id and c.id = s.customer_id and c.merged_into is null
        left join customer_scores k on k.shop_id = s.shop_id and k.customer_id = s.customer_id
        left join customer_predictions g on g.shop_id = s.shop_id and g.customer_id = s.customer_id
        {EXTERNAL}
        where s.shop_id = :shop_id and s.since_on < :as_of order by s.customer_id
        """  # noqa: S608 column names of our own
    )
)
EXPORT_RUN = statement(
    text(
        f"""
        select s.customer_id, {_FIGURES}, {of("s", SCORES)}, {of("s", PREDICTIONS)}, e.value, e.origin_customer_id,
               e.wrapped
        from score_snapshots s {EXTERNAL}
        where s.shop_id = :shop_id and s.run_id = :run_id order by s.customer_id
        """  # noqa: S608 column names of our own
    )
)
