"""What can go wrong with the embedded servers."""

from pathlib import Path


class EmbeddedError(Exception):
    """An embedded server cannot run; the text is one line that says why and what to do."""


def startup_error(name: str, log: Path, *, doing: str = "start") -> EmbeddedError:
    """The error for a server that gave up: the reason is read from the end of its log."""
    tail = log.read_text(errors="replace")[-20_000:] if log.exists() else ""
    if "No space left on device" in tail:
        return EmbeddedError(f"{name} cannot {doing}: the disk of {log.parent} is full")
    telling = [line for line in tail.splitlines() if any(word in line for word in ("FATAL", "PANIC", "error", "Can't"))]
    reason = (telling or tail.splitlines() or ["no reason given"])[-1].strip()
    return EmbeddedError(f"{name} cannot {doing}: {reason} (log: {log})")
