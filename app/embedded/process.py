"""Starting processes that cannot outlive us, stopping them, and recognising one that did."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
HANDLED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LARGEST_LOG_BYTES = 20_000_000
STRAY_SECONDS = 5.0

Process = subprocess.Popen[bytes]


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    orphaned: signal.Signals = signal.SIGTERM,
    enter: Callable[[], None] | None = None,
    user: int | None = None,
    group: int | None = None,
) -> Process:
    """Start a program in a session of its own, so that the terminal's Ctrl-C reaches us only.

    Call it from the main thread: the kernel ties the child to the thread that made it.

    Args:
        log: gets all output, appended; emptied first when it has grown large.
        orphaned: what the child is sent when we die, however we die (Linux; elsewhere nothing).
        enter: called in the child before the program, as the new user if there is one.
    """
    parent = os.getpid()

    def prepare() -> None:
        if enter is not None:
            enter()
        # After `enter`: a change of credentials takes the death signal away.
        if sys.platform == "linux" and LIBC.prctl(PR_SET_PDEATHSIG, int(orphaned)) == 0 and os.getppid() != parent:
            os._exit(1)

    large = log.exists() and log.stat().st_size > LARGEST_LOG_BYTES
    with log.open("wb" if large else "ab") as output:
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            start_new_session=True,
            preexec_fn=prepare,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )


def stop(processes: Sequence[tuple[Process, Sequence[signal.Signals]]], patience_seconds: Sequence[float]) -> None:
    """Stop processes side by side, then kill what is left of their sessions.

    Args:
        processes: each with the signals to send it, one a turn, while it lives.
        patience_seconds: how long each turn waits for all of them.
    """
    for turn, seconds in enumerate(patience_seconds):
        for process, signals in processes:
            if turn < len(signals) and process.poll() is None:
                process.send_signal(signals[turn])
        until = time.monotonic() + seconds
        for process, _ in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
    for process, _ in processes:
        kill_session(process)


def kill_session(process: Process) -> None:
    """Kill whatever is left of the process and its children, and collect it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def stop_stray(pid_file: Path, mark: str, signals: Sequence[signal.Signals]) -> None:
    """Stop the process that an earlier supervisor left behind.

    Only safe under the instance's lock: whoever runs then is looked after by nobody. Ours has the mark in its command
    line. If the number still exists afterwards, it is a stranger's, or a zombie's that nobody collects (a container
    without an init); the pid file is then removed, for the server would believe it.
    """
    pid = _pid_in(pid_file)
    if pid is None:
        return
    for number in signals:
        until = time.monotonic() + STRAY_SECONDS
        if mark in _command_of(pid):
            os.kill(pid, number)
        while mark in _command_of(pid) and time.monotonic() < until:
            time.sleep(0.05)
    if _exists(pid) and mark not in _command_of(pid):
        pid_file.unlink(missing_ok=True)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no Ctrl-C cut the clearing up short. In other threads signals do not arrive anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in HANDLED_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does: by a KeyboardInterrupt."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in HANDLED_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pid_in(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _command_of(pid: int) -> str:
    """The command line of a living process, or nothing: a zombie has none."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    listing = subprocess.run(["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.strip()
