"""Which identities find a person, which may join two, and which must stay apart: the shop's settings, applied."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from app.access.settings import IdentitySettings, KindPolicy

# What forms, tills and test systems send when they know nobody. Matched whole, against the normalised value
# in small letters, which is quicker than to ignore their case.
_NOBODY: Final = re.compile(
    r"""
    [0\W_]+ | x{3,}                                                     # nothing, zeros, crosses
    | null | none | nil | nan | undefined | unknown | anonymous | test | n/a | 无 | 匿名 | 未知 | 测试
    | \+86(?: 13800138000 | 13000000000 )
    | (?: null | none | noreply | no-reply | nobody | undefined )@.*
    """,
    re.VERBOSE,
)
# Kinds that name a visit or a till rather than a person. Whoever holds nothing else becomes part of whoever they turn
# out to be, without further proof.
PROVISIONAL: Final = frozenset(("device", "mobile_token"))
_ANY_APP: Final = 1000


def of_kind(settings: IdentitySettings, kind: str) -> KindPolicy:
    """The policy of a kind."""
    policy: KindPolicy = getattr(settings, kind)
    return policy


def limit(settings: IdentitySettings, kind: str, scope: str) -> int:
    """How many of a kind and scope one person has at a time. An openid without its appid may be of any app."""
    return _ANY_APP if kind == "wechat_openid" and not scope else of_kind(settings, kind).limit


def is_blocked(settings: IdentitySettings, value: str) -> bool:
    """Whether a normalised value stands for nobody."""
    if _NOBODY.fullmatch(value.lower()):
        return True
    return bool(settings.blocked) and _own(settings.blocked).fullmatch(value) is not None


def proves(settings: IdentitySettings, kind: str, *, verified: bool) -> bool:
    """Whether an identity is enough to say that its holder is the person of the write."""
    merges = of_kind(settings, kind).merges
    return merges == "always" or (merges == "verified" and verified)


def weight(settings: IdentitySettings, kind: str, *, verified: bool) -> int:
    """How much an identity counts, twice its strength; one that would need to be verified and is not counts half."""
    policy = of_kind(settings, kind)
    return policy.strength if policy.merges == "verified" and not verified else 2 * policy.strength


def still_verified(
    settings: IdentitySettings, verified_at: datetime | None, last_seen_at: datetime, moment: datetime
) -> bool:
    """Whether an identity that was verified once still is: after a long silence it must be verified again."""
    return verified_at is not None and moment - last_seen_at <= timedelta(days=settings.silent_days)


def over_limits(settings: IdentitySettings, places: Iterable[tuple[str, str]]) -> list[str]:
    """Which kinds a person who held all of these (kind, scope), one for each value, would have too many of."""
    counted: dict[tuple[str, str], int] = {}
    for place in places:
        counted[place] = counted.get(place, 0) + 1
    return sorted({place[0] for place, count in counted.items() if count > limit(settings, *place)})


@lru_cache(maxsize=256)
def _own(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
