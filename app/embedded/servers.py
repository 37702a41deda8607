"""Both embedded servers as one context manager: the only thing that the rest of the code needs from this package."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.embedded import home, process
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey

Server = Postgres | Valkey
STOP_SECONDS = (1.5, 0.5)


@dataclass(frozen=True)
class Servers:
    """Where the running servers are, passwords included.

    `set_aside` is where data of another Postgres version was moved, None as a rule.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    set_aside: Path | None = None
    _running: tuple[Server, ...] = field(default=(), repr=False, compare=False)

    def revive(self) -> list[str]:
        """Start again, on the same port, any server that died. Returns their names; call it now and then.

        Raises: EmbeddedError if one will not start.
        """
        dead = [server for server in self._running if server.died()]
        _start(dead)
        return [server.name for server in dead]


@contextmanager
def start(data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> Iterator[Servers]:
    """Run Postgres and Valkey until the block ends. Call it from the main thread.

    Args:
        data_dir: holds data, logs and passwords; one process at a time.
        durable: False is for tests: data lives in memory (below `data_dir` when memory is short) and is thrown away.
        settings: of Postgres, over ours.
    Raises: EmbeddedError with one line for the user.
    """
    with home.kept(data_dir) if durable else home.scratch(data_dir) as place:
        with home.explained(place.path):
            valkey, postgres = Valkey(place, durable=durable), Postgres(place, durable=durable, settings=settings)
        running: tuple[Server, ...] = (valkey, postgres)
        try:
            _start(running)
            yield Servers(postgres.url, valkey.url, postgres.set_aside, running)
        finally:
            with process.uninterrupted():
                _stop(running)


def _start(servers: tuple[Server, ...] | list[Server]) -> None:
    for server in servers:
        with home.explained(server.home.path):
            server.launch()
    for server in servers:
        server.wait()


def _stop(servers: tuple[Server, ...]) -> None:
    process.stop([each for server in servers for each in server.stopping()], STOP_SECONDS)
