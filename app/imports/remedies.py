"""What to do about a row that was left out, in one sentence."""

from typing import Final

from app.imports.rows import RowError

_TIME: Final = "Write times as 2024-06-18 20:30:00, with +08:00 if not in the shop's zone."
_OTHERWISE: Final = "Correct the row and import the file again; what is already in does not change."
_BY_CODE: Final = {
    "identity_conflict": "Decide about the two at GET /v1/merge-conflicts, or keep only the identities of one.",
    "identity_blocked": "Leave placeholder numbers out, and give an identity that is the person's own.",
    "customer_not_found": "Import the customer first, or correct the identity or customer_id.",
    "kept_aside": "Mend the declaration of the type and replay the event: POST /v1/events/invalid/{id}/replay.",
    "segment_not_found": "Write the number or the name of a static segment, or define it: POST /v1/segments.",
    "segment_kind": "A rule says who is in that segment: name a static one.",
    "tag_is_automatic": "Leave the tag out: a rule says who carries it. Or change the rule.",
    "tag_disabled": "Leave the tag out, or make it normal again: PATCH /v1/tags/{id}.",
}
_BY_FIELD: Final = {
    "": "Save the file again as CSV UTF-8 and check this line's commas, quotes and identities.",
    "order_no": "Give every line its order number, at most 64 characters.",
    "refund_no": "Give the refund a number of its own and the number of its order, each at most 64 characters.",
    "mobile": "Write 11 digits, or + and the country code; format the column as text first.",
    "email": "Write one address such as name@example.com, or leave the cell empty.",
    "paid_at": _TIME,
    "refunded_at": _TIME,
    "occurred_at": _TIME,
    "updated_at": _TIME,
    "created_at": _TIME,
    "member_since": _TIME,
    "birthday": "Write dates as 1990-12-31, or leave the cell empty.",
    "gender": "Write 0, 1 or 2, or 男 or 女, or leave the cell empty.",
    "amount": "Write the order's total in yuan, such as 128.50, the same on every line of the order.",
    "refund_amount": "Write what was given back in yuan, such as 64.25.",
    "line_amount": "Write the line's own amount in yuan on every line of the order, such as 64.25.",
    "unit_price": "Write the price of one piece in yuan, such as 64.25.",
    "quantity": "Write a whole number of pieces, 1 or more; send returns as refunds.",
    "status": "Write created, paid, shipped, completed or closed.",
    "store_id": "Write the number of a store that exists, digits only.",
    "event_id": "Give every event a number of its own, at most 64 characters without spaces.",
    "type": "Write the event's type in small letters, such as view, as it is declared.",
    "segment": "Write the number or the name of a static segment.",
    "tags": "Write tags of 1 to 32 characters, several with | between them.",
}


def remedy(error: RowError) -> str:
    """The sentence for a refusal, by its code, else by its field."""
    return _BY_CODE.get(error.code) or _BY_FIELD.get(error.field, _OTHERWISE)
