"""Requests and answers that several parts of the table share."""

from typing import Any, Final

from tests.youzan.conformance.patterns import MILLISECONDS, Text
from tests.youzan.conformance.world import KNOWN, Row, World

CREATED: Final = {"account_id": Text(r"\d+"), "account_type": "YouZanAccount", "yz_open_id": Text(r"[0-9A-Za-z]{8,}")}
BY_MOBILE: Final = {"account_type": "Mobile", "account_id": KNOWN}
PROFILE: Final = {"name": "王 雨桐", "gender": 2, "birthday": "1996-05-20", "remark": "x"}
DETAIL: Final = {"account_info": {"account_type": 2, "account_id": KNOWN}, "fields": "user_base"}
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
JSON: Final = {"content-type": "application/json"}


def row(section: str, says: str, request: dict[str, Any], check: Any, *before: Row) -> Row:
    """A row of the table."""
    return Row(section, says, check=check, before=before, **request)


def plain(method: str, path: Any, **options: Any) -> dict[str, Any]:
    """Any request."""
    return {"method": method, "path": path, "options": options}


def credentials(**changes: Any) -> Any:
    """A value: a silent token request."""

    def asked(world: World) -> dict[str, Any]:
        body = {
            "client_id": world.api.client.client_id,
            "client_secret": world.api.client.client_secret,
            "authorize_type": "silent",
            "grant_id": world.shop.id,
            "refresh": False,
        } | changes
        return {name: value for name, value in body.items() if value is not None}

    return asked


def old_credentials(**changes: Any) -> Any:
    """A value: the old token request, as a form."""

    def asked(world: World) -> dict[str, Any]:
        return {
            "client_id": world.api.client.client_id,
            "client_secret": world.api.client.client_secret,
            "grant_type": "silent",
            "kdt_id": str(world.shop.id),
        } | changes

    return asked


def token_data(**more: Any) -> dict[str, Any]:
    """The answer of the token endpoint."""
    fields = {
        "access_token": Text(r"[0-9a-f]{31,32}"),
        "expires": MILLISECONDS,
        "scope": str,
        "authority_id": lambda world: str(world.shop.id),
        "refresh_token": str,
    }
    return {"success": True, "code": 200, "message": None, "data": fields | more}


def token_refused(code: int) -> dict[str, Any]:
    """A refusal of the token endpoint."""
    return {"success": False, "code": code, "message": str, "data": None}
