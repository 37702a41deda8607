"""/v1/segments: what rules can be made of, how many customers meet one, and why one of them does."""

import time
from typing import Annotated

from fastapi import APIRouter, Request, Response

from app.access.answers import rendered
from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.access.errors import ScopeMissing
from app.core.errors import Forbidden, Unauthorized
from app.core.problems import problems
from app.customers.errors import CustomerNotFound
from app.customers.records import read_fields
from app.segments import listing, repository, service
from app.segments.errors import RuleTooCostly, RuleUnfit, RuleUnreadable
from app.segments.readymade import READY_MADE
from app.segments.rules.text.reading import read
from app.segments.schemas import (
    EvidenceRead,
    ExplainAsk,
    ExplanationRead,
    FieldsRead,
    Preview,
    PreviewAsk,
    ReadyMadeRead,
    RuleRead,
    RuleWrite,
    SampleRow,
    TextAsk,
)

router = APIRouter(
    prefix="/v1/segments", tags=["segments"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

# Who finds people by what they did and said sees them, too.
Asker = Annotated[Call, door("segments:read", "customers:read")]


@router.get("/fields")
async def list_fields(call: Annotated[Call, door("segments:read")]) -> FieldsRead:
    """What rules can be made of: fields with their comparisons, and what the shop declares."""
    return await listing.fields(call.db, call.shop)


@router.get("/ready-made")
async def list_ready_made(call: Annotated[Call, door("segments:read")]) -> list[ReadyMadeRead]:
    """Rules to begin with, each as a tree and as texts, and what the shop has to declare for it first."""
    return [ReadyMadeRead.made(ready) for ready in READY_MADE]


@router.post("/parse", responses=problems(RuleUnreadable))
async def parse_rule(call: Annotated[Call, door("segments:read")], body: TextAsk) -> RuleRead:
    """The tree that a text stands for, and the text as it would be written in either language."""
    return RuleRead.of(read(body.text))


@router.post("/write")
async def write_rule(call: Annotated[Call, door("segments:read")], body: RuleWrite) -> RuleRead:
    """The texts of a tree. What the shop has of what it names is not looked at."""
    return RuleRead.of(body.rule)


@router.post(
    "/preview", response_model=Preview, responses=problems(ScopeMissing, RuleUnreadable, RuleUnfit, RuleTooCostly)
)
async def preview_rule(request: Request, call: Asker, body: PreviewAsk) -> Response:
    """How many customers meet a rule now, and some of them. Nothing is written."""
    began = time.perf_counter()
    found = await service.find(call.db, call.shop, body.tree, unmasked=call.caller.unmasked, sample=body.sample)
    took_ms = round(1000 * (time.perf_counter() - began))
    call.visit.concerns(found.sample)
    entry: Entry = request.app.state.entry
    sample = [
        SampleRow(
            **read_fields(entry.root, call.shop, customer),
            tier=row["tier"],
            orders=row["orders"],
            net_fen=row["net_fen"],
        )
        for customer, row in await repository.shown(call.db, call.shop, found.sample)
    ]
    preview = Preview(customers=found.customers, asked_at=found.asking.moment.now, took_ms=took_ms, sample=sample)
    return rendered(preview, call)


@router.post("/explain", responses=problems(ScopeMissing, RuleUnreadable, RuleUnfit, RuleTooCostly, CustomerNotFound))
async def explain_rule(call: Asker, body: ExplainAsk) -> ExplanationRead:
    """Why a customer meets a rule now, or does not: each condition with what they have to show for it."""
    customer_id, asking, explanation = await service.explain(
        call.db, call.shop, body.tree, body.customer_id, unmasked=call.caller.unmasked
    )
    call.visit.concerns([customer_id])
    return ExplanationRead(
        customer_id=customer_id,
        holds=explanation.holds,
        present=explanation.present,
        asked_at=asking.moment.now,
        conditions=[
            EvidenceRead(
                path=".".join(map(str, ("rule", *one.place))),
                kind=one.kind,
                holds=one.holds,
                value=one.value,
                ids=one.ids,
                begins=one.begins,
            )
            for one in explanation.evidence
        ],
    )
