"""An embedded Valkey: the queue's transport, and nothing that Postgres does not know better."""

import contextlib
import signal
import socket
import time

from app.embedded import binaries, process
from app.embedded.errors import EmbeddedError, startup_error
from app.embedded.home import Home, write_private

STOP = (signal.SIGTERM,)
READY_SECONDS = 30


class Valkey:
    """A server on loopback, behind a password. `launch` and `wait` are apart so that servers start side by side."""

    name = "Valkey"

    def __init__(self, home: Home, *, durable: bool) -> None:
        self._program = binaries.valkey_server()
        self.home = home
        self._durable = durable
        self._data = home.path / "valkey"
        self._login = home.login("valkey")
        self._process: process.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self._login.password}@127.0.0.1:{self._login.port}/0"

    def launch(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        process.stop_stray(self._data / "valkey.pid", "-server", STOP)
        # In a file and not on the command line, which every user of the machine can read.
        configuration = self.home.path / "valkey.conf"
        write_private(configuration, self._configuration())
        self._process = process.spawn([self._program, configuration], log=self.home.log("valkey"))

    def wait(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self.died():
                raise startup_error(self.name, self.home.log("valkey"))
            if time.monotonic() > until:
                raise EmbeddedError(f"Valkey did not answer within {READY_SECONDS} s (log: {self.home.log('valkey')})")
            time.sleep(0.02)

    def died(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stopping(self) -> list[tuple[process.Process, tuple[signal.Signals, ...]]]:
        """The process, if there is one, and how it likes to be stopped."""
        return [] if self._process is None else [(self._process, STOP)]

    def _configuration(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self._login.port}",
            f"requirepass {self._login.password}",
            f'dir "{self._data}"',
            f'pidfile "{self._data}/valkey.pid"',
            "databases 64",
            'save ""',
            f"appendonly {'yes' if self._durable else 'no'}",
            "appendfsync everysec",
        ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        """True when it takes our password and is not still loading."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._login.port), 1) as link:
            link.sendall(f"AUTH {self._login.password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := link.recv(1024)):
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"
        return False
