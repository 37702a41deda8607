"""Everything that an operator can set, read once at the edges and passed inward as values."""

import base64
import os
import stat
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT_KEY_BYTES = 32


class ConfigError(Exception):
    """A setting is missing or unusable; the text names it and the remedy."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _root_key_is_usable(value: SecretStr) -> SecretStr:
    decode_root_key(value.get_secret_value())
    return value


class Settings(BaseSettings):
    """One frozen value per process. Environment names are `KEHU_…`, except the three URLs every platform injects."""

    model_config = SettingsConfigDict(env_prefix="KEHU_", frozen=True, extra="ignore", populate_by_name=True)

    database_url: SecretStr = Field(validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    migration_database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("MIGRATION_DATABASE_URL", "migration_database_url")
    )
    redis_url: SecretStr = Field(validation_alias=AliasChoices("REDIS_URL", "redis_url"))
    root_key: Annotated[SecretStr, AfterValidator(_root_key_is_usable)]

    database_pool_size: int = Field(default=16, ge=1, le=500)
    database_acquire_timeout_seconds: float = Field(default=10.0, gt=0)
    database_statement_timeout_seconds: float = Field(default=30.0, gt=0)
    database_pgbouncer: bool = Field(default=False, description="The pool is behind PgBouncer in transaction mode")

    body_limit_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    upload_limit_bytes: int = Field(
        default=64 * 1024**3, ge=1024, description="What a file to import may hold, unpacked; it is never in memory"
    )
    outbound_timeout_seconds: float = Field(default=10.0, gt=0)
    outbound_allow_networks: Annotated[list[IPv4Network | IPv6Network], NoDecode, BeforeValidator(_split)] = Field(
        default_factory=list
    )

    worker_poll_seconds: float = Field(default=2.0, gt=0)
    worker_gather_seconds: float = Field(
        default=0.02, ge=0, le=5, description="In a steady stream, how long a worker lets changes gather for one step"
    )
    worker_queue: str = "kehu:bell"
    refresh_batch: int = Field(default=1000, ge=1, le=10_000)
    lease_seconds: float = Field(default=30.0, gt=0)
    export_keep_hours: float = Field(default=72.0, gt=0, le=8760, description="How long an export can be fetched")

    tag_keep_days: float = Field(
        default=30.0, ge=0, le=3650, description="How long an assignment of a tag is kept once it has run out"
    )

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_json: bool = True
    sandbox: bool = Field(default=False, description="Serve the demo's sandbox inbox and page")

    @property
    def root_key_bytes(self) -> bytes:
        """The 32 bytes that wrap every shop's keys."""
        return decode_root_key(self.root_key.get_secret_value())

    @property
    def owner_database_url(self) -> str:
        """The login that owns the tables: it migrates, and is never used to serve."""
        return (self.migration_database_url or self.database_url).get_secret_value()


def decode_root_key(text: str) -> bytes:
    """Root key from its base64 text.

    Raises: ConfigError when it is not base64 of exactly 32 bytes.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != ROOT_KEY_BYTES:
        raise ConfigError(
            "KEHU_ROOT_KEY must be base64 of 32 random bytes; make one with: "
            "python -c 'import base64,os; print(base64.b64encode(os.urandom(32)).decode())'"
        )
    return key


def new_root_key() -> str:
    """A fresh root key as base64 text."""
    return base64.b64encode(os.urandom(ROOT_KEY_BYTES)).decode()


def load_root_key_file(path: Path) -> str:
    """Root key kept in a file of mode 0600, made on first use (the demo's way; production sets KEHU_ROOT_KEY).

    Raises: ConfigError when others may read the file.
    """
    if not path.exists():
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_root_key())
            file.flush()
            os.fsync(file.fileno())
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path} can be read by others; run: chmod 600 {path}")
    return path.read_text().strip()
