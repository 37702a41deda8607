"""What there is to attack: every route of the contract with its scopes, its parameters and a body that it accepts."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.access.door import Door
from app.api import V1
from tests.hostile.shops import AS_FAST_AS_IT_GOES, TAG

Json = Any
Place = tuple[str | int, ...]

# What the schema of one property cannot say: which values fit together.
_KNOWN: dict[str, Json] = {
    "identities": [{"kind": "external_id", "value": "X-1", "scope": "pos"}],
    "identity": {"kind": "external_id", "value": "X-1", "scope": "pos"},
    "customer_id": None,
    "customer_ids": [1],
    "version": None,
    "status": "paid",
    "paid_at": "2026-01-02T03:04:05",
    "birthday": "1990-12-31",
    "area_code": "310115",
    "created_at": "2025-01-02T03:04:05",
    "member_since": "2025-01-02T03:04:05",
    **dict.fromkeys(("created_from", "created_before", "updated_from", "updated_before"), "2025-01-02T03:04:05"),
    "cursor": None,
    "updated_at": "2026-01-02T03:04:05",
    "refunded_at": "2026-01-02T03:04:05",
    "occurred_at": "2026-01-02T03:04:05",
    "as_of": "2026-02-01",
    "order_no": "N-1",
    "refund_no": "R-9",
    "url": "https://receiver.example.com/hook",
    "channel": "webhook",
    "currency": "CNY",
    "template": "hello",
    "variables": {"name": "you"},
    "body": "Hello {name}",
    "store_id": 7,
    "audience": {"customer_ids": [1]},
    "attributes": {"size": "M"},
    "allowed_values": None,
    "conditions": [{"name": "size", "operator": "=", "value": "M"}],
    "filters": {"store_id": 7},
    "columns": ["id"],
    "limits": AS_FAST_AS_IT_GOES,
    "definition": {
        "name": "Tiers",
        "tiers": [
            {
                "name": "top",
                "label": "Top",
                "when": [
                    {"field": "net_365d_fen", "top_share": 0.1, "among": "spenders"},
                    {"field": "orders", "at_least": 2},
                ],
                "expected_share": [0.05, 0.1],
            },
            {"name": "rest", "label": "The rest"},
        ],
    },
    "scheme": None,
    "tag": TAG,
    "remove": None,  # what is to be added is not to be removed
    "category_id": None,
    "valid_until": None,
    "tier": "top",
    "text": "member = true",
    "rule": {
        "kind": "all",
        "of": [
            {"kind": "date", "field": "last_order", "within": {"last": {"days": 7}}},
            {"kind": "event", "event": "view", "at_least": 2, "where": [{"property": "sku", "equals": "S1"}]},
        ],
    },
}


_NEEDED = {
    "POST /v1/imports": "?kind=customers",
    "DELETE /v1/tags/{tag_id}": "?with_assignments=true",
    "GET /v1/scores/migration": "?from=2025-01-02&to=2025-02-01",
}


# Where not any one will do: a list, or one that nothing is asked of afterwards.
_OTHERWISE = {
    ("POST /v1/segments/{segment_id}/list", "segment_id"): "list_id",
    ("POST /v1/segments/{segment_id}/list/removal", "segment_id"): "list_id",
    ("POST /v1/segments/{segment_id}/archive", "segment_id"): "old_segment_id",
}


@dataclass(frozen=True)
class Route:
    """One operation. `path` and `query` are parameter names, `body` an example that is accepted, or None."""

    method: str
    template: str
    scopes: tuple[str, ...]
    path: tuple[str, ...]
    query: tuple[str, ...]
    headers: tuple[str, ...]
    body: Json = field(compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def target(self, things: dict[str, Any]) -> str:
        """The path with real ids in it, and the query that it cannot do without."""
        found = {name: things[_OTHERWISE.get((str(self), name), name)] for name in self.path}
        return self.template.format(**found) + _NEEDED.get(str(self), "")


def v1(app: FastAPI) -> list[Route]:
    """Every route of /v1, from the contract."""
    document = app.openapi()
    doors = _doors()
    found = []
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            given = operation.get("parameters", [])
            names = {
                place: tuple(p["name"] for p in given if p["in"] == place) for place in ("path", "query", "header")
            }
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            body = None if schema is None else _example(schema, document)
            scopes = doors[method.upper(), template]
            found.append(Route(method.upper(), template, scopes, names["path"], names["query"], names["header"], body))
    assert len(found) > 30
    assert {route.template[:4] for route in found} == {"/v1/"}
    return found


def leaves(value: Json, place: Place = ()) -> Iterator[Place]:
    """Where in a body there is something to replace: every value, and every container as a whole."""
    yield place
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*place, name))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*place, 0))


def replaced(body: Json, place: Place, value: Json) -> Json:
    """A copy with another value in one place."""
    if not place:
        return value
    copy = deepcopy(body)
    target = copy
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return copy


def _doors() -> dict[tuple[str, str], tuple[str, ...]]:
    return {
        (method, route.path): door.call.scopes
        for router in V1
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
        for door in route.dependant.dependencies
        if isinstance(door.call, Door)
    }


def _may_be(value: Json, schema: Json) -> bool:
    """Whether the value is one of those that are listed, where some are: two schemas may have a name in common."""
    listed = [one["enum"] for one in schema.get("anyOf", [schema]) if "enum" in one]
    return value is None or not listed or any(value in one for one in listed)


def _example(schema: Json, document: Json, name: str = "") -> Json:
    if "$ref" in schema:
        return _example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, name)
    if name in _KNOWN and _may_be(_KNOWN[name], schema):
        return deepcopy(_KNOWN[name])
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], document, name)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("type") == "object" or "properties" in schema:
        made = {key: _example(inner, document, key) for key, inner in schema.get("properties", {}).items()}
        if "rule" in made:
            for other in ("text", "ready_made", "snapshot", "customer_ids"):
                made.pop(other, None)  # one of them
        if "announce" in made:
            made["name"] = f"a segment {len(made)}"  # made, and changed
            made["tag"] = made.get("tag") and "a tag of a rule"
        made |= {key: 1 for key in schema.get("required", ()) if key == "customer_id"}  # where no identity can stand
        return {key: value for key, value in made.items() if value is not None}
    if schema.get("type") == "array":
        if name == "add" and "anyOf" in schema["items"]:
            return [TAG]
        return [_example(schema["items"], document, name.removesuffix("s"))]
    if "default" in schema:
        return schema["default"]
    return {"string": "text", "integer": 1, "number": 0.5, "boolean": True, "null": None}[schema["type"]]
