"""What an import was asked to do with its file, and what it remembers of it."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.customers.service import Policy
from app.imports.scratch import Scratch


@dataclass(frozen=True, slots=True)
class Asked:
    """`source` scopes external ids, `zone` is for times without one, `actor` is who uploaded the file."""

    source: str
    zone: ZoneInfo
    policy: Policy
    actor: str
    memory: Scratch
