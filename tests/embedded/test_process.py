"""What an earlier supervisor may have left behind."""

import signal
import subprocess
import sys
from pathlib import Path

from app.embedded import process

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


def _running(*arguments: str) -> "subprocess.Popen[bytes]":
    """A sleeper that runs: just after exec its command line can still be empty."""
    started = subprocess.Popen([*SLEEPER, *arguments], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    return started


def test_a_stray_of_ours_is_stopped(tmp_path: Path) -> None:
    pid_file = tmp_path / "server.pid"
    with _running(str(tmp_path)) as stray:
        pid_file.write_text(f"{stray.pid}\n")
        process.stop_stray(pid_file, str(tmp_path), [signal.SIGTERM])
        assert stray.wait(5) == -signal.SIGTERM


def test_a_stranger_with_the_number_is_left_alone(tmp_path: Path) -> None:
    pid_file = tmp_path / "server.pid"
    with _running() as stranger:
        pid_file.write_text(f"{stranger.pid}\n")
        process.stop_stray(pid_file, str(tmp_path), [signal.SIGTERM])
        assert stranger.poll() is None
        assert not pid_file.exists()
        stranger.kill()


def test_a_number_that_nobody_has_is_left_to_the_server(tmp_path: Path) -> None:
    pid_file = tmp_path / "server.pid"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pid_file.write_text(f"{gone.pid}\n")
    process.stop_stray(pid_file, str(tmp_path), [signal.SIGTERM])
    assert pid_file.exists()
