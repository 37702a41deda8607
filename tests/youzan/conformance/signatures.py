"""Contract 1.6: the old signature mode."""

from datetime import datetime, timedelta, timezone
from hashlib import md5
from typing import Any, Final

from tests.youzan.conformance.requests import (
    CREATED,
    plain,
    row,
)
from tests.youzan.conformance.world import (
    KNOWN,
    World,
    legacy,
    legacy_refused,
    new_mobile,
)

CHINA: Final = timezone(timedelta(hours=8))


def signed(*, off: float = 0.0, spoil: dict[str, str] | None = None, **parameters: Any) -> Any:
    """A value: the parameters of a signed request, `off` seconds from now, some of them changed after signing."""

    def made(world: World) -> dict[str, str]:
        moment = datetime.now(CHINA) + timedelta(seconds=off)
        given = {
            "app_id": world.api.client.client_id,
            "method": "youzan.scrm.customer.create",
            "timestamp": moment.strftime("%Y-%m-%d %H:%M:%S"),
            "format": "json",
            "v": "1.0",
            "sign_method": "md5",
        } | world.told(parameters)
        secret = world.api.client.client_secret
        text = secret + "".join(name + given[name] for name in sorted(given)) + secret
        given["sign"] = md5(text.encode(), usedforsecurity=False).hexdigest()
        given |= spoil or {}
        return {name: value for name, value in given.items() if value}

    return made


_SIGNED: Final = "/api/entry/youzan.scrm.customer/3.0.0/create"
ROWS: Final = (
    *(
        row("1.6", says, plain("POST", _SIGNED, data=form), legacy_refused(code))
        for says, code, form in (
            ("40001: no app_id", 40001, signed(mobile=KNOWN, spoil={"app_id": ""})),
            ("40002: an app that is not there", 40002, signed(mobile=KNOWN, app_id="nobody")),
            ("40003: 11 minutes late", 40003, signed(mobile=KNOWN, off=-660)),
            ("40003: 11 minutes early", 40003, signed(mobile=KNOWN, off=660)),
            ("40004: an empty signature", 40004, signed(mobile=KNOWN, spoil={"sign": ""})),
            ("40005: changed after signing", 40005, signed(mobile=KNOWN, spoil={"mobile": "13800000001"})),
            ("40006: another method", 40006, signed(mobile=KNOWN, method="youzan.scrm.customer.update")),
        )
    ),
    row("1.6", "590 s are allowed", plain("POST", _SIGNED, data=signed(mobile=new_mobile, off=-590)), legacy(CREATED)),
    row(
        "1.6",
        "41000: a parameter that is not of its type",
        plain("POST", _SIGNED, data=signed(mobile=new_mobile, customer_create="[1]")),
        legacy_refused(41000),
    ),
)
