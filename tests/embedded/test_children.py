"""The supervisor of child processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.embedded.children import Children

QUIET = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    lines: list[str] = []
    with Children(tmp_path, report=lines.append) as children:
        children.add("quiet", QUIET)
        first = children.pid("quiet")
        os.kill(first, signal.SIGKILL)
        children.wait(_within(10, lambda: children.pid("quiet") != first))
        assert children.pid("quiet") != first
    assert lines == [f"quiet was killed by signal 9; starting it again in 0.5 s (log: {tmp_path / 'quiet.log'})"]


def test_one_that_keeps_crashing_is_started_ever_more_slowly(tmp_path: Path) -> None:
    lines: list[str] = []
    with Children(tmp_path, report=lines.append) as children:
        children.add("broken", [sys.executable, "-c", "raise SystemExit(3)"])
        children.wait(_within(10, lambda: len(lines) == 2))
    assert ["in 0.5 s" in lines[0], "in 1 s" in lines[1], "exit code 3" in lines[1]] == [True, True, True]


def test_output_goes_to_a_log_and_the_environment_to_the_child(tmp_path: Path) -> None:
    log = tmp_path / "talker.log"
    program = "import os, time; print(os.environ['GREETING'], flush=True); time.sleep(60)"
    with Children(tmp_path) as children:
        children.add("talker", [sys.executable, "-c", program], {"GREETING": "hello"})
        children.wait(_within(10, lambda: log.exists() and "hello" in log.read_text()))
    assert log.read_text() == "hello\n"


def test_the_stubborn_are_killed_in_time(tmp_path: Path) -> None:
    with Children(tmp_path, grace_seconds=0.3) as children:
        for name in ("one", "two"):
            children.add(name, STUBBORN)
        children.wait(_within(10, lambda: all((tmp_path / f"{name}.log").read_text() for name in ("one", "two"))))
        pids = [children.pid(name) for name in ("one", "two")]
        stopped_at = time.monotonic()
    assert time.monotonic() - stopped_at < 2
    assert not any(_is_alive(pid) for pid in pids)


def test_a_signal_ends_the_wait_and_stops_the_children(tmp_path: Path) -> None:
    supervisor = _supervisor(tmp_path)
    child = _child_pid(tmp_path)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(5) == 0
    assert not _is_alive(child)


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    supervisor = _supervisor(tmp_path)
    child = _child_pid(tmp_path)
    supervisor.kill()
    supervisor.wait(5)
    if sys.platform == "linux":
        _wait_until_gone(child)


def _supervisor(log_dir: Path) -> subprocess.Popen[bytes]:
    program = f"""
import sys
from pathlib import Path
from app.embedded.children import Children
with Children(Path({str(log_dir)!r})) as children:
    children.add("child", [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
    children.wait()
"""
    return subprocess.Popen([sys.executable, "-c", program])


def _child_pid(log_dir: Path) -> int:
    log = log_dir / "child.log"
    until = time.monotonic() + 20
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return int(log.read_text())


def _wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 5
    while _is_alive(pid):
        assert time.monotonic() < until
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie whose parent is gone may wait a moment for init.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and ") Z " in stat.read_text())


def _within(seconds: float, condition: Callable[[], bool]) -> Callable[[], bool]:
    """The condition, which also ends the wait when time is up; the assertions after it tell which it was."""
    until = time.monotonic() + seconds
    return lambda: condition() or time.monotonic() > until
