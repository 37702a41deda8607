"""Schemathesis over the contract: requests that fit it and requests that do not, about things that are really there."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from app.openapi import contract
from tests.conftest import Rows
from tests.hostile.shops import Furnished, unlimited
from tests.hostile.wire import PATIENCE_SECONDS
from workers.house import House

long = partial(pytest.param, marks=[pytest.mark.hostile_long, pytest.mark.timeout(7200)])

# Under which name an `id` is asked for elsewhere.
_IDS = {
    "/v1/customers": "customer_id",
    "/v1/customers/lookup": "customer_id",
    "/v1/webhooks": "endpoint_id",
    "/v1/webhooks/{endpoint_id}/deliveries": "delivery_id",
    "/v1/touches": "touch_id",
    "/v1/events/invalid": "invalid_event_id",
    "/v1/customers/{customer_id}/merges": "merge_id",
    "/v1/merge-conflicts": "conflict_id",
    "/v1/imports": "import_id",
}
_SAME = {"run_id": "run", "template": "code", "customer_ids": "customer_id", "skipped_customer_ids": "customer_id"} | {
    "other_id": "customer_id",
    "merge_conflicts": "conflict_id",
}
_KEPT = 50  # of each kind of thing


@dataclass
class Memory:
    """What answers have named so far, so that later requests can be about it."""

    things: defaultdict[str, list[Any]]

    def learn(self, template: str, said: Any, name: str = "") -> None:
        """Take in the ids of an answer."""
        if isinstance(said, dict):
            for key, value in said.items():
                self.learn(template, value, _IDS.get(template, "") if key == "id" else key)
        elif isinstance(said, list):
            for value in said[:5]:
                self.learn(template, value, name)
        elif said is not None and (name.endswith("_id") or name in ("run", "run_id", "code", "next_cursor")):
            known = self.things[f"{template} cursor" if name == "next_cursor" else _SAME.get(name, name)]
            if said not in known:
                known.append(said)
                del known[1:-_KEPT]  # the first one stays: it belongs to the furniture

    def ground(self, template: str, given: Any, dice: int, name: str = "") -> Any:
        """The same parameters or body, ids replaced by real ones."""
        if isinstance(given, dict):
            return {key: self.ground(template, value, dice, str(key)) for key, value in given.items()}
        if isinstance(given, list):
            return [self.ground(template, value, dice, name) for value in given]
        known = self.things.get(f"{template} cursor" if name == "cursor" else _SAME.get(name, name))
        return known[dice % len(known)] if known else given


@dataclass
class Run:
    """Requests so far, and what was wrong with their answers."""

    memory: Memory
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def fired(self) -> int:
        """How many requests."""
        return sum(self.answers.values())

    def judge(self, case: Any, response: Any) -> None:
        """No failure of ours, no hang, refusals as problem documents, successes as the contract describes them."""
        label, status = case.operation.label, response.status_code
        self.answers[label, status] += 1
        kind = response.headers.get("content-type", [""])[0]
        told = f"{label} {status} {kind} {case!r} -> {response.content[:300]!r}"[:1500]
        if status >= 500:
            self.wrong.append(told)
        elif status >= 400:
            document = response.json() if kind == "application/problem+json" else {}
            if document.get("status") != status or not document.get("code"):
                self.wrong.append(f"no problem document: {told}")
        else:
            try:
                case.validate_response(response, checks=[content_type_conformance, response_schema_conformance])
            except Exception as error:
                self.wrong.append(f"{error}: {told}"[:1500])
            if status in (200, 201, 202) and "json" in kind and "ndjson" not in kind:
                self.memory.learn(case.operation.path, response.json())


def _fuzz(run: Run, address: str, of: Furnished, restore: Any, requests_wanted: int, *, each: int) -> None:
    """Every operation in turns, with data that fits and data that does not, until so many requests were made."""
    document = orjson.loads(contract())
    for path in document["paths"].values():
        for described in path.values():
            described.pop("security", None)  # strangers have tests of their own
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    cases = {
        (operation.label, mode): operation.as_strategy(generation_mode=mode)
        for operation in operations
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        # Where nothing is taken, nothing can be wrong.
        if mode is schemathesis.GenerationMode.POSITIVE or _takes_anything(document, operation)
    }
    assert len(cases) > 70
    session = requests.Session()
    turn = 0
    while run.fired < requests_wanted and len(run.wrong) < 30:
        turn += 1
        for (label, _), strategy in cases.items():

            @seed(turn)
            @settings(
                max_examples=each,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy, grounded=st.integers(0, 3), dice=st.integers(0, 10**6))
            def one(case: Any, grounded: int, dice: int) -> None:
                if grounded:
                    template = case.operation.path
                    case.path_parameters = run.memory.ground(template, case.path_parameters, dice)
                    case.query = run.memory.ground(template, case.query, dice)
                    if isinstance(case.body, dict):
                        case.body = run.memory.ground(template, case.body, dice)
                try:
                    response = case.call(
                        base_url=address,
                        session=session,
                        headers={"Authorization": of.key[1]},
                        timeout=PATIENCE_SECONDS,
                    )
                except requests.Timeout:
                    run.wrong.append(f"no answer in {PATIENCE_SECONDS} s: {case!r}"[:1500])
                    return
                run.judge(case, response)

            _despite_ast(one)
            if label == "PUT /v1/shop/settings":
                restore()


def _takes_anything(document: dict[str, Any], operation: Any) -> bool:
    described = document["paths"][operation.path][operation.method.lower()]
    return bool(described.get("parameters") or "requestBody" in described)


def _despite_ast(one: Callable[[], None]) -> None:
    """Python 3.11's ast fails now and then under Hypothesis's deep stacks, which says nothing about the service."""
    for _ in range(5):
        try:
            return one()
        except SystemError as error:
            if "AST constructor recursion depth mismatch" not in str(error):
                raise
    return None


@pytest.mark.parametrize(("requests_wanted", "each"), [(400, 3), long(50_000, 20)])
async def test_requests_within_and_beyond_the_contract(
    furnished: Furnished, address: str, rows: Rows, house: House, requests_wanted: int, each: int
) -> None:
    loop = asyncio.get_running_loop()

    def restore() -> None:
        """Settings that were accepted may have told the limiter to be strict."""
        asyncio.run_coroutine_threadsafe(unlimited(furnished.api), loop).result(PATIENCE_SECONDS)

    run = Run(Memory(defaultdict(list, {name: [value] for name, value in furnished.things.items()})))
    await asyncio.to_thread(_fuzz, run, address, furnished, restore, requests_wanted, each=each)
    succeeded = {label for (label, status) in run.answers if status < 300}
    print(f"{run.fired} requests, {len(succeeded)} operations succeeded")  # noqa: T201 shown with -s
    assert not run.wrong, "\n".join([f"{len(run.wrong)} wrong", *run.wrong[:15]])
    assert run.fired >= requests_wanted
    assert len(succeeded) >= 20
    # What was accepted must be digestible too: the workers go through all of it, and send none of it.
    disable = "update webhook_endpoints set state = 'disabled' where shop_id = $1 returning id"
    await rows(disable, furnished.shop.id)
    await house.rounds.until_idle(furnished.shop.id)
    assert await rows("select 1 from customer_changes where shop_id = $1", furnished.shop.id) == []
