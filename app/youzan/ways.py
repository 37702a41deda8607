"""The ways in: which API a path names, how the caller shows who they are, and which envelope they read."""

from dataclasses import dataclass
from typing import Any, Final

from app.youzan import registry
from app.youzan.calling import Api
from app.youzan.envelopes import CURRENT, LEGACY, Envelope
from app.youzan.errors import GatewayRefusal

_EXEMPT: Final = "auth_exempt"
_RICH_TEXT: Final = "_textarea_"
_OLD_TOKEN: Final = "oauthentry"  # noqa: S105 a path
_OLD_SIGNATURE: Final = "entry"


@dataclass(frozen=True, slots=True)
class Way:
    """One of the URL forms (contract 1.1). `old`: of the first hosts, where the parameters carry the credential."""

    name: str
    version: str
    envelope: Envelope = CURRENT
    exempt: bool = False
    old: bool = False
    signed: bool = False

    def api(self) -> Api[Any, Any]:
        """The API that is meant. Raises GatewayRefusal 4001 or 4005."""
        if not self.name or not self.version:
            raise GatewayRefusal(4001)
        api = registry.APIS.get((self.name, self.version))
        if api is None:
            raise GatewayRefusal(4005)
        return api


def way_of(rest: str) -> Way:
    """The way that a path below /api takes. Never raises: what is wrong with it is told in its own envelope."""
    parts = rest.strip("/").split("/")
    if parts[0] in (_OLD_TOKEN, _OLD_SIGNATURE):
        namespace, version, action = parts[1:] if len(parts) == 4 and all(parts) else ("", "", "")
        signed = parts[0] == _OLD_SIGNATURE
        return Way(f"{namespace}.{action}" if action else "", version, LEGACY, old=True, signed=signed)
    exempt = parts[0] == _EXEMPT
    if exempt or parts[0] == _RICH_TEXT:
        parts = parts[1:]
    name, version = parts if len(parts) == 2 and all(parts) else ("", "")
    return Way(name, version, exempt=exempt)
