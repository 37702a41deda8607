"""Merges, their reversal, and the pairs that wait for a decision."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers import service as customers
from app.customers.errors import CustomerNotFound
from app.customers.merging import repository, service
from app.customers.merging.errors import AlreadyOneCustomer, ConflictNotFound, MergeNotFound
from app.customers.merging.schemas import (
    ConflictDecision,
    ConflictPage,
    ConflictRead,
    ConflictState,
    FieldSurvivor,
    MergeDone,
    MergePage,
    MergePreview,
    MergeRead,
    MergeWrite,
    ReversalDone,
)
from app.customers.schemas import CustomerId

router = APIRouter(prefix="/v1", tags=["merging"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))
_FIRST = UUID(int=0)


@router.post("/customers/{customer_id}/merges", responses=problems(CustomerNotFound, AlreadyOneCustomer))
async def merge_customers(
    call: Annotated[Call, door("customers:write")], customer_id: CustomerId, body: MergeWrite
) -> MergeDone | MergePreview:
    """Make two records one person, whatever the policy would say; or, dry, say what that would do.

    Everything can be taken back: POST /v1/merges/{merge_id}/reversal.
    """
    call.visit.concerns([customer_id, body.other_id])
    if body.dry_run:
        preview = await service.preview(call.db, call.shop, customer_id, body.other_id)
        fields = [FieldSurvivor(field=name, **survivor._asdict()) for name, survivor in preview.fields.items()]
        return MergePreview(winner_id=preview.winner_id, moves=preview.moves, fields=fields, doubts=preview.doubts)
    merge = await service.merge(call.db, call.shop, customer_id, body.other_id, call.caller.client_id)
    return MergeDone(**merge, winner_id=await customers.answering(call.db, call.shop, customer_id))


@router.get("/customers/{customer_id}/merges", responses=problems(CustomerNotFound))
async def list_merges(call: Annotated[Call, door("customers:read")], customer_id: CustomerId) -> MergePage:
    """The merges of all records of a person."""
    owner = await customers.answering(call.db, call.shop, customer_id)
    call.visit.concerns([owner])
    return MergePage(items=[MergeRead(**row) for row in await service.merges_of(call.db, call.shop, owner)])


@router.get("/merges/{merge_id}", responses=problems(MergeNotFound))
async def get_merge(call: Annotated[Call, door("customers:read")], merge_id: UUID) -> MergeRead:
    """One merge."""
    row = await repository.get_edge(call.db, call.shop.id, merge_id)
    if row is None:
        raise MergeNotFound(field="merge_id")
    call.visit.concerns([row["customer_id"], row["other_id"]])
    return MergeRead(**row)


@router.post("/merges/{merge_id}/reversal", responses=problems(MergeNotFound))
async def reverse_merge(call: Annotated[Call, door("customers:write")], merge_id: UUID) -> ReversalDone:
    """Take a merge back: identities, fields, orders, events and tags belong to whom the remaining merges say.

    What came in since is the side's whose identity brought it. Twice is once.
    """
    merge, owners = await service.reverse(call.db, call.shop, merge_id, call.caller.client_id)
    call.visit.concerns(sorted(set(owners.values())))
    return ReversalDone(merge=MergeRead(**merge), owners=owners)


@router.get("/merge-conflicts")
async def list_conflicts(
    call: Annotated[Call, door("customers:read")],
    state: ConflictState = "open",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ConflictPage:
    """Pairs that a write named as one person and that the policy keeps apart."""
    after = _position(cursor) if cursor else _FIRST
    rows = await call.db.fetch(repository.LIST_CONFLICTS, shop_id=call.shop.id, state=state, after=after, limit=limit)
    call.visit.concerns([number for row in rows for number in (row["customer_id"], row["other_id"])])
    more = encode_cursor(str(rows[-1]["id"])) if len(rows) == limit else None
    return ConflictPage(items=[ConflictRead(**row) for row in rows], next_cursor=more)


@router.post("/merge-conflicts/{conflict_id}/resolution", responses=problems(ConflictNotFound))
async def resolve_conflict(
    call: Annotated[Call, door("customers:write")], conflict_id: UUID, body: ConflictDecision
) -> ConflictRead:
    """Decide about a pair: one person, or two."""
    row = await service.resolve(
        call.db, call.shop, conflict_id, merging=body.action == "merge", actor=call.caller.client_id
    )
    call.visit.concerns([row["customer_id"], row["other_id"]])
    return ConflictRead(**row)


def _position(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, str)[0])
    except ValueError:
        raise InvalidCursor from None
