"""An embedded Postgres: made on first use, recovered after any crash, never opened by another major version."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from app.embedded import account, binaries, process
from app.embedded.errors import EmbeddedError, startup_error
from app.embedded.home import MEMORY, Home, write_private

# Fast, and if the disk is slow, at once: the write-ahead log has everything either way.
STOP = (signal.SIGINT, signal.SIGQUIT)
READY_SECONDS = 60
SMALL_SHARED_MEMORY_BYTES = 512_000_000

COMMON = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}
DURABLE = {"shared_buffers": "256MB", "max_connections": "200"}
DISPOSABLE = {
    "shared_buffers": "128MB",
    "max_connections": "300",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
}


class Postgres:
    """A server on loopback with the superuser and database `kehu`. `launch` and `wait` are apart, as in Valkey."""

    name = "Postgres"

    def __init__(self, home: Home, *, durable: bool, settings: Mapping[str, str] | None = None) -> None:
        self._bin = binaries.postgres_bin()
        self.home = home
        self._durable = durable
        self._given = settings or {}
        self._data = home.path / "postgres"
        self._log = home.log("postgres")
        self._account = account.choose(self._bin / "postgres", home.path)
        self._login = home.login("postgres")
        self._process: process.Process | None = None
        self._log_start = 0
        self.set_aside: Path | None = None

    @property
    def url(self) -> str:
        return f"postgresql://kehu:{self._login.password}@127.0.0.1:{self._login.port}/kehu"

    def launch(self) -> None:
        """Start it, after making the cluster if there is none that this version can open."""
        self.set_aside = self.set_aside or self._set_other_version_aside()
        if self._account.user is not None:
            self.home.path.chmod(0o711)
        if not self._data.exists():
            self._make_cluster()
        self._account.own(self._data)
        process.stop_stray(self._data / "postmaster.pid", str(self._data), STOP)
        self._spawn()

    def wait(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self.died():
                # Killed alone, the old postmaster leaves children that hold its memory for a second.
                if "shared memory block" not in self._log_since_start() or time.monotonic() > until - READY_SECONDS / 2:
                    raise startup_error(self.name, self._log)
                time.sleep(0.2)
                self._spawn()
            if time.monotonic() > until:
                raise EmbeddedError(f"Postgres was not ready within {READY_SECONDS} s (log: {self._log})")
            time.sleep(0.02)

    def died(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stopping(self) -> list[tuple[process.Process, tuple[signal.Signals, ...]]]:
        """The process, if there is one, and how it likes to be stopped."""
        return [] if self._process is None else [(self._process, STOP)]

    def _spawn(self) -> None:
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._process = process.spawn(
            [self._bin / "postgres", "-D", self._data, *_options(self._settings())],
            log=self._log,
            env=_environment(),
            orphaned=signal.SIGINT,
            enter=self._account.enter,
            user=self._account.user,
            group=self._account.group,
        )

    def _settings(self) -> dict[str, str]:
        settings = COMMON | (DURABLE if self._durable else DISPOSABLE) | dict(self._given)
        settings["port"] = str(self._login.port)
        if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).total < SMALL_SHARED_MEMORY_BYTES:
            # A container's /dev/shm is too small for parallel queries.
            settings["dynamic_shared_memory_type"] = "mmap"
        return settings

    def _is_ready(self) -> bool:
        """The eighth line of postmaster.pid is what pg_ctl waits for too."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        ours = self._process is not None and lines[:1] == [str(self._process.pid)]
        return ours and len(lines) > 7 and lines[7].strip() == "ready"

    def _log_since_start(self) -> str:
        with self._log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def _major(self) -> int:
        text = subprocess.run([self._bin / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"\) (\d+)", text)
        if found is None:
            raise EmbeddedError(f"{self._bin}/postgres does not run here: set KEHU_PG_BIN or DATABASE_URL")
        return int(found.group(1))

    def _set_other_version_aside(self) -> Path | None:
        version = self._data / "PG_VERSION"
        if not self._data.exists() or (version.exists() and version.read_text().strip() == str(self._major())):
            return None
        made_by = version.read_text().strip() if version.exists() else "unknown"
        aside = self._data.with_name(f"postgres-{made_by}-set-aside-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        self._data.rename(aside)
        return aside

    def _make_cluster(self) -> None:
        """Run initdb beside the real place and rename when all is done, so that a half-made cluster is never opened."""
        new = self._data.with_name("postgres.new")
        password = self.home.path / "password"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._account.own(new)
        write_private(password, self._login.password)
        self._account.own(password)
        try:
            self._run([self._bin / "initdb", "-D", new, *self._initdb_options(password)])
            self._run([self._bin / "postgres", "--single", "-D", new, "postgres"], "CREATE DATABASE kehu\n")
        finally:
            password.unlink()
        new.rename(self._data)

    def _initdb_options(self, password: Path) -> list[str]:
        options = ["--username=kehu", "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8"]
        options += ["--no-instructions", "--lc-messages=C"] + ([] if self._durable else ["--no-sync"])
        if self._major() >= 17:
            # The wheel has no ICU, and the C locale does not know that É and é are one letter.
            return [*options, "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return [*options, "--locale=C.UTF-8"]

    def _run(self, argv: list[str | Path], standard_input: str = "") -> None:
        with self._log.open("ab") as output:
            done = subprocess.run(
                argv,
                input=standard_input.encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                preexec_fn=self._account.enter,
                user=self._account.user,
                group=self._account.group,
                extra_groups=None if self._account.user is None else [],
                check=False,
            )
        if done.returncode != 0:
            raise startup_error(self.name, self._log, doing="make its data directory")


def _options(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _environment() -> dict[str, str]:
    """Ours without what would redirect Postgres, and in English, because its log is read."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
