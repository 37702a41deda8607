"""Brings a database to the newest schema; safe to run twice and by two at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config

ROOT = Path(__file__).resolve().parent.parent


def config(database_url: str) -> Config:
    """Alembic's configuration for one database."""
    settings = Config(str(ROOT / "alembic.ini"))
    settings.set_main_option("script_location", str(ROOT / "migrations"))
    settings.attributes["database_url"] = database_url
    return settings


def upgrade(database_url: str) -> None:
    """Run what is missing, as the login that owns the tables."""
    command.upgrade(config(database_url), "head")
