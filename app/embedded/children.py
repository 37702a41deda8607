"""Keeps child processes running: restarts what crashes, and stops everything quickly when asked."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded.process import Process, kill_session, signals_as_interrupts, spawn, stop, uninterrupted

POLL_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0


@dataclass
class _Child:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None
    log: Path
    pause_seconds: float = FIRST_PAUSE_SECONDS
    started_at: float = 0.0
    restart_at: float | None = None
    process: Process = field(init=False)

    def start(self) -> None:
        self.process = spawn(self.argv, log=self.log, env=self.env)
        self.started_at, self.restart_at = time.monotonic(), None


class Children:
    """A context manager that owns child processes. Use it in the main thread.

    Each child runs in a session of its own (Ctrl-C reaches only us), dies with us on Linux, and writes to
    `log_dir/<name>.log`. One that ends, whatever its exit code, is started again: after half a second, then after
    twice as long each time up to 30 s, and from the beginning once it has run for a minute.

    Inside the block SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, so anything done there can be broken off;
    `wait` takes it as its end. Leaving the block sends every child SIGTERM, and after `grace_seconds` kills what is
    left of their sessions; signals do not interrupt that.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        grace_seconds: float = 3.0,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._log_dir = log_dir
        self._grace_seconds = grace_seconds
        self._report = report
        self._children: list[_Child] = []
        self._signals = ExitStack()

    def __enter__(self) -> Self:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._signals.enter_context(signals_as_interrupts())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._signals, uninterrupted():
            self._stop()

    def add(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a child. `env` is added to our environment."""
        child = _Child(name, argv, {**os.environ, **(env or {})}, self._log_dir / f"{name}.log")
        child.start()
        self._children.append(child)

    def pid(self, name: str) -> int:
        """The process id that the child has now."""
        return next(child.process.pid for child in self._children if child.name == name)

    def check(self) -> None:
        """Start again what has ended and is due. `wait` does this; call it yourself while doing something else."""
        now = time.monotonic()
        for child in self._children:
            code = child.process.poll()
            if code is None:
                continue
            if child.restart_at is None:
                self._plan_restart(child, now, code)
            elif now >= child.restart_at:
                child.start()

    def wait(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Keep the children running until a signal comes or `should_stop`, asked ten times a second, says so."""
        try:
            while not should_stop():
                self.check()
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            return

    def _plan_restart(self, child: _Child, now: float, code: int) -> None:
        kill_session(child.process)
        if now - child.started_at >= STEADY_SECONDS:
            child.pause_seconds = FIRST_PAUSE_SECONDS
        child.restart_at = now + child.pause_seconds
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._report(f"{child.name} {ending}; starting it again in {child.pause_seconds:g} s (log: {child.log})")
        child.pause_seconds = min(child.pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def _stop(self) -> None:
        stop([(child.process, [signal.SIGTERM]) for child in self._children], [self._grace_seconds])
