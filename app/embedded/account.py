"""As whom Postgres runs: it refuses root, and continuous integration often is root."""

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import EmbeddedError
from app.embedded.process import LIBC

CLONE_NEWUSER = 0x10000000


@dataclass(frozen=True)
class Account:
    """How to start a program as this account: a step to take in the child, or a user to become, or nothing."""

    enter: Callable[[], None] | None = None
    user: int | None = None
    group: int | None = None

    def own(self, path: Path) -> None:
        """Make the path the account's, with everything below it."""
        if self.user is None or self.group is None:
            return
        for inner in [path, *path.rglob("*")]:
            os.chown(inner, self.user, self.group, follow_symlinks=False)


def choose(program: Path, data_dir: Path) -> Account:
    """Ourselves; for root, root by another name (files stay root's, nothing is made or chmodded), else a plain user."""
    if os.geteuid() != 0:
        return Account()
    namespaced = Account(enter=_enter_namespace)
    if sys.platform == "linux" and _can_run(program, namespaced):
        return namespaced
    plain = _plain_user()
    if plain is None or not _can_run(program, plain) or not _reachable(data_dir):
        raise EmbeddedError(
            f"Postgres will not run as root, user namespaces are refused here, and no other user can reach {data_dir}: "
            "run as an ordinary user, or set DATABASE_URL to a server"
        )
    return plain


def _enter_namespace() -> None:
    """In the child: a user namespace in which our own id is called 1000."""
    user, group = os.geteuid(), os.getegid()
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {user} 1"), ("gid_map", f"1000 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _plain_user() -> Account | None:
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user=entry.pw_uid, group=entry.pw_gid)
    return None


def _can_run(program: Path, account: Account) -> bool:
    try:
        done = subprocess.run(
            [str(program), "--version"],
            preexec_fn=account.enter,
            user=account.user,
            group=account.group,
            extra_groups=None if account.user is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
