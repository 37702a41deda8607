"""The ground that faults happen on, and the seed that they can be repeated with."""

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults import ground as grounds
from tests.faults.ground import Ground

_FIGURE = "figure"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known only when pytest is pointed at this directory."""
    parser.addoption("--fault-seed", type=int, default=None, help="repeat the faults of an earlier run")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures that were reached."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in reports
        for name, value in getattr(report, "user_properties", [])
        if name == _FIGURE
    ]
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def fault_seed(request: pytest.FixtureRequest) -> int:
    """Chosen, or a new one each run."""
    given = request.config.getoption("--fault-seed", default=None)
    return int(given) if given is not None else secrets.randbelow(1_000_000)


@pytest.fixture
def chance(request: pytest.FixtureRequest, fault_seed: int) -> Random:
    """The test's own randomness. What is printed is shown when the test fails."""
    print(f"repeat with: pytest {request.node.nodeid} --fault-seed {fault_seed}")  # noqa: T201
    return Random(f"{fault_seed} {request.node.name}")


@pytest.fixture
def figure(record_property: Any) -> Any:
    """`figure("…")`: tell what was reached, in the summary."""
    return lambda text: record_property(_FIGURE, text)


@pytest.fixture(scope="session")
def shared_ground() -> Iterator[Ground]:
    """Servers for all scenarios of this process."""
    with tempfile.TemporaryDirectory(prefix="kehu-faults-") as name, grounds.up(Path(name)) as running:
        yield running


@pytest.fixture
async def ground(shared_ground: Ground) -> AsyncIterator[Ground]:
    """The servers, with no process of an earlier scenario left."""
    known = len(shared_ground.incidents())
    yield shared_ground
    await shared_ground.end_all()
    for incident in shared_ground.incidents()[known:]:
        print(incident)  # noqa: T201
