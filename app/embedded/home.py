"""The directory of one instance: its lock, its ports and passwords, its logs."""

import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import EmbeddedError

MEMORY = Path("/dev/shm")  # noqa: S108 (only private directories are made in it)
MEMORY_NEEDED_BYTES = 1_000_000_000
DISK_NEEDED_BYTES = 250_000_000
SCRATCH_PREFIX = "kehu-scratch-"
YOUNG_SECONDS = 60


@dataclass(frozen=True)
class Login:
    """How to reach a server on loopback."""

    port: int
    password: str


@dataclass(frozen=True)
class Home:
    """An instance's directory, held by us alone."""

    path: Path

    def log(self, name: str) -> Path:
        return self.path / f"{name}.log"

    def login(self, name: str) -> Login:
        """The server's password, and the port it had last time if that is still free."""
        file = self.path / "servers.json"
        logins = json.loads(file.read_text()) if file.exists() else {}
        known = logins.get(name, {})
        port = known.get("port")
        login = Login(
            port=port if port and _is_free(port) else _free_port(),
            password=known.get("password") or secrets.token_hex(24),
        )
        logins[name] = {"port": login.port, "password": login.password}
        write_private(file, json.dumps(logins, indent=2))
        return login


@contextmanager
def kept(data_dir: Path) -> Iterator[Home]:
    """Hold the directory whose data is kept; refuse if another process does."""
    with explained(data_dir):
        path = data_dir.expanduser().absolute()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(path).free < DISK_NEEDED_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        lock = _lock(path)
        if lock is None:
            raise EmbeddedError(f"another instance is using {path}: stop it first, or choose another directory")
    try:
        yield Home(path)
    finally:
        os.close(lock)


@contextmanager
def scratch(fallback_dir: Path) -> Iterator[Home]:
    """Hold a new directory in memory, or below the fallback when memory is short; it is gone afterwards."""
    with explained(fallback_dir):
        parent = _roomy_parent(fallback_dir)
        _sweep(parent)
        path = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=parent))
        lock = _lock(path)
    try:
        yield Home(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            needed = DISK_NEEDED_BYTES // 1_000_000
            raise EmbeddedError(f"the disk of {path} is full: free {needed} MB, or choose another directory") from error
        raise EmbeddedError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}") from error


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _lock(path: Path) -> int | None:
    """The open lock, or None if another process holds it. It goes with its holder, so none is ever stale."""
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _roomy_parent(fallback_dir: Path) -> Path:
    # A container gives /dev/shm 64 MB: too little for a database.
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED_BYTES:
        return MEMORY
    fallback_dir.mkdir(parents=True, exist_ok=True)
    return fallback_dir.absolute()


def _sweep(parent: Path) -> None:
    """Remove what killed runs left: our old directories whose lock is free."""
    for left in parent.glob(SCRATCH_PREFIX + "*"):
        with suppress(OSError):
            facts = left.lstat()
            # A young one may be about to be locked.
            if facts.st_uid != os.geteuid() or time.time() - facts.st_mtime < YOUNG_SECONDS:
                continue
            lock = _lock(left)
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
