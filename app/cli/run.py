"""serve, worker, migrate, openapi: what keeps an installation running."""

import asyncio
import socket
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
import uvicorn
import uvloop

from app.cli.console import fail, say
from app.cli.environment import load_settings
from app.core import logging, memory
from app.core.db import ROLE, sqlalchemy_url
from app.main import create_app

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    cert: Annotated[Path | None, typer.Option(help="TLS certificate chain, PEM")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS private key, PEM")] = None,
) -> None:
    """Answer API calls. One process; start several behind a proxy to use more cores."""
    if (cert is None) != (key is None):
        fail("--cert and --key go together", 2)
    for file in filter(None, (cert, key)):
        if not file.is_file():
            fail(f"there is no file {file}", 2)
    settings = load_settings()
    logging.configure(settings.log_level, as_json=settings.log_json)
    listener = _listen(host, port)
    app = create_app(settings)
    memory.settle()
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=3,
        ssl_certfile=str(cert) if cert else None,
        ssl_keyfile=str(key) if key else None,
    )
    uvicorn.Server(config).run(sockets=[listener])


def worker() -> None:
    """Do the work behind the API: refresh, rescores, touches, webhooks. Several may run beside each other."""
    from workers.main import run

    settings = load_settings()
    logging.configure(settings.log_level, as_json=settings.log_json)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


def migrate() -> None:
    """Bring the database to the newest schema, with MIGRATION_DATABASE_URL where it is set."""
    from app.migrate import upgrade

    url = load_settings().owner_database_url
    place = sqlalchemy_url(url).rpartition("@")[2]
    try:
        months = upgrade(url)
    except OSError as error:
        fail(f"the database at {place} cannot be reached: {error}")
    except asyncpg.LockNotAvailableError:
        fail("the months of events are not made: another transaction holds the table; run it again")
    if months:
        say(f"made the months of events from {months[0]} to {months[-1]}")
    say(f"{place} is up to date; the service works in it as the role {ROLE}")


def openapi(
    check: Annotated[bool, typer.Option("--check", help="Compare only; exit 1 when a file is out of date")] = False,
) -> None:
    """Write the API contract to openapi/openapi.json, and the table of Youzan-style calls to docs/youzan.md."""
    from app.openapi import files

    for path, content in files().items():
        if check and path.read_bytes() != content:
            fail(f"{path.parent.name}/{path.name} is out of date; run: ./kehu openapi")
        if not check:
            path.write_bytes(content)
            say(f"wrote {path.parent.name}/{path.name}")


def _listen(host: str, port: int) -> socket.socket:
    """Bound before anything else starts, so that a busy port is one clear line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        fail(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port")
    listener.setblocking(False)
    return listener
