"""The closed list of scopes, and what each allows."""

from typing import Final, Literal

Scope = Literal[
    "customers:read",
    "customers:write",
    "orders:write",
    "events:write",
    "events:read",
    "scores:read",
    "segments:read",
    "segments:write",
    "tags:read",
    "tags:write",
    "imports",
    "webhooks",
    "triggers",
    "admin",
    "pii:read",
]

SCOPES: Final[dict[str, str]] = {
    "customers:read": "read, list and look up customers",
    "customers:write": "create and change customers, record consent",
    "orders:write": "send orders and refunds",
    "events:write": "send what customers did",
    "events:read": "read declared event types and events that are kept aside",
    "scores:read": "read scores, tiers and exports",
    "segments:read": "read segments and who is in them, and what rules can be made of; with customers:read try rules "
    "and explain whom they find",
    "segments:write": "define segments, put customers on lists and take them off",
    "tags:read": "read tags, their categories and the report on them, and with customers:read who carries one",
    "tags:write": "make, change and delete tags and categories, put tags on customers and take them off",
    "imports": "import files of what the client may also send in calls, follow and cancel imports",
    "webhooks": "manage webhook subscriptions and read deliveries",
    "triggers": "start rescores and touches, try tier definitions, read jobs and touches",
    "admin": "manage stores, templates, suppressions, tier definitions and shop settings",
    "pii:read": "see names, mobiles and addresses unmasked",
}


def parse_scopes(text: str) -> frozenset[str]:
    """Scopes from space- or comma-separated text; `all` is every one.

    Raises: ValueError naming the unknown scope and the known ones.
    """
    names = text.replace(",", " ").split()
    if names == ["all"]:
        return frozenset(SCOPES)
    if unknown := [name for name in names if name not in SCOPES]:
        raise ValueError(f"unknown scope {unknown[0]!r}; known: {', '.join(SCOPES)}")
    return frozenset(names)
