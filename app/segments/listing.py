"""What rules can be made of in a shop: the catalogue, beside what the shop declares."""

from typing import Any, Final, get_args

from app.access.shops import Shop
from app.attributes import repository as attributes
from app.attributes.values import Declared
from app.core.db import Connection
from app.events import repository as events
from app.events.declarations import BUILT_IN
from app.scoring.tiers import service as tiers
from app.segments import repository
from app.segments.rules.catalogue import ANY_DATE, DATES, LABELS, PROFILE, SCORES, SHARED, STATS, Field
from app.segments.rules.checking import compared_as, told_as
from app.segments.rules.comparing import TAKES
from app.segments.rules.tree import MOST_LEVELS, MOST_NODES, MOST_VALUES, Measure
from app.segments.rules.windows import Calendar
from app.segments.schemas import (
    AttributeRead,
    DateRead,
    EventRead,
    FieldRead,
    FieldsRead,
    KindRead,
    Limits,
    PropertyRead,
    TierRead,
)

_LISTED: Final = 1_000


async def fields(db: Connection, shop: Shop) -> FieldsRead:
    """Everything that a rule can name, without a word about anybody."""
    declared = await db.fetch(attributes.LIST_TYPES, shop_id=shop.id, after="", limit=_LISTED)
    types = await db.fetch(events.LIST_TYPES, shop_id=shop.id, after="", limit=_LISTED)
    definition = (await tiers.current(db, shop.id)).definition
    return FieldsRead(
        kinds=[KindRead(kind=kind, label=label) for kind, label in LABELS.items()],
        profile=[_field(field) for field in PROFILE.values()],
        scores=[_field(field) for field in SCORES.values()],
        stats=[_field(field) for field in STATS.values()],
        dates=[
            DateRead(field=d.key, label=d.label, operators=list(d.operators), day=d.day, masked=d.personal)
            for d in DATES.values()
        ],
        attributes=[_attribute(row) for row in declared],
        events=[
            *(EventRead(event=name, built_in=True, properties=[]) for name in sorted(BUILT_IN)),
            *(EventRead(event=row["type"], built_in=False, properties=_properties(row)) for row in types),
        ],
        tiers=[TierRead(name=tier.name, label=tier.label) for tier in definition.tiers],
        tags=await db.fetch_value(repository.TAGS, shop_id=shop.id),
        calendars=list(get_args(Calendar)),
        measures=list(get_args(Measure)),
        limits=Limits(levels=MOST_LEVELS, conditions=MOST_NODES, values=MOST_VALUES),
    )


def _field(field: Field) -> FieldRead:
    return FieldRead(
        field=field.key,
        label=field.label,
        type=field.type,
        unit=field.unit,
        operators=list(field.operators),
        choices=list(field.choices) or None,
        share=field.key in SHARED and SHARED[field.key] is field,
    )


def _attribute(row: Any) -> AttributeRead:
    declared = Declared.of(row)
    dated = declared.type in ("date", "datetime") and not declared.sealed
    return AttributeRead(
        name=declared.name,
        label=row["label"],
        type=declared.type,
        **{"class": declared.class_},
        operators=list(TAKES[compared_as(declared)]),
        dates=list(ANY_DATE) if dated else [],
        allowed_values=row["allowed_values"],
        masked=declared.mask is not None,
    )


def _properties(row: Any) -> list[PropertyRead]:
    return [
        PropertyRead(property=name, type=told_as(one["kind"]), operators=list(TAKES[told_as(one["kind"])]))
        for name, one in sorted(row["properties"].items())
    ]
