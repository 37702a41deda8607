"""The embedded servers: started, stopped, killed, and started again."""

import os
import shutil
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from app.embedded import binaries, home, servers
from app.embedded.errors import EmbeddedError


async def test_data_and_addresses_survive_a_restart(tmp_path: Path) -> None:
    with servers.start(tmp_path) as first:
        await _write_row(first.database_url, 1)
        async with Redis.from_url(first.redis_url) as redis:
            await redis.set("kept", "yes")
    with servers.start(tmp_path) as second:
        assert second == first
        assert await _rows(second.database_url) == [1]
        async with Redis.from_url(second.redis_url) as redis:
            assert await redis.get("kept") == b"yes"


async def test_committed_rows_survive_killed_servers(tmp_path: Path) -> None:
    with servers.start(tmp_path) as running:
        await _write_row(running.database_url, 1)
        _kill(tmp_path / "postgres" / "postmaster.pid")
        _kill(tmp_path / "valkey" / "valkey.pid")
        await _revive_both(running)
        assert await _rows(running.database_url) == [1]
        _kill(tmp_path / "postgres" / "postmaster.pid")
    with servers.start(tmp_path) as again:
        assert await _rows(again.database_url) == [1]


def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    with home.kept(tmp_path), pytest.raises(EmbeddedError, match="another instance is using"), servers.start(tmp_path):
        pass


async def test_data_of_another_version_is_set_aside(tmp_path: Path) -> None:
    other = tmp_path / "postgres"
    other.mkdir()
    (other / "PG_VERSION").write_text("9\n")
    with servers.start(tmp_path) as running:
        assert running.set_aside is not None
        assert (running.set_aside / "PG_VERSION").read_text() == "9\n"
        await _write_row(running.database_url, 1)


async def test_servers_for_tests_are_quick_and_leave_nothing(tmp_path: Path) -> None:
    with servers.start(tmp_path, durable=False) as first, servers.start(tmp_path, durable=False) as second:
        assert first.database_url != second.database_url
        connection = await asyncpg.connect(first.database_url)
        assert await connection.fetchval("SHOW fsync") == "off"
        data_directory = Path(await connection.fetchval("SHOW data_directory"))
        await connection.close()
    assert not data_directory.exists()


async def test_passwords_are_wanted_and_kept_private(tmp_path: Path) -> None:
    with servers.start(tmp_path) as running:
        url = urlsplit(running.database_url)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(running.database_url.replace(str(url.password), "wrong"))
        assert str(url.password) not in repr(running)
    for name in ("servers.json", "valkey.conf"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "DISK_NEEDED_BYTES", shutil.disk_usage(tmp_path).total * 2)
    with pytest.raises(EmbeddedError, match=r"disk of .* is full"), servers.start(tmp_path):
        pass


@pytest.mark.parametrize(("variable", "find"), [("KEHU_PG_BIN", "postgres_bin"), ("KEHU_REDIS_BIN", "valkey_server")])
def test_a_wrong_program_is_named(variable: str, find: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(EmbeddedError, match=variable):
        getattr(binaries, find)()


def _kill(pid_file: Path) -> None:
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)


async def _revive_both(running: servers.Servers) -> None:
    """Wait for the supervisor to see both deaths and to start both again."""
    revived: list[str] = []
    until = time.monotonic() + 20
    while sorted(revived) != ["Postgres", "Valkey"] and time.monotonic() < until:
        revived += running.revive()
    assert sorted(revived) == ["Postgres", "Valkey"]


async def _write_row(url: str, number: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS numbers (number int)")
    await connection.execute("INSERT INTO numbers VALUES ($1)", number)
    await connection.close()


async def _rows(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT number FROM numbers ORDER BY number")
    await connection.close()
    return [row["number"] for row in rows]
