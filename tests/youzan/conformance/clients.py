"""Contract 16: what real clients send, in the form that they send it."""

import json
from typing import Any, Final

from tests.youzan.conformance.patterns import Has
from tests.youzan.conformance.requests import (
    BY_MOBILE,
    CREATED,
    JSON,
    PROFILE,
    credentials,
    old_credentials,
    plain,
    row,
    token_data,
)
from tests.youzan.conformance.world import (
    KNOWN,
    NAME,
    body_is,
    call,
    data,
    legacy,
    new_mobile,
    old,
    open_id,
    text_of,
    token,
)

_UTF8: Final = json.dumps({"mobile": "MOBILE", "customer_create": PROFILE}, ensure_ascii=False)
_ESCAPED: Final = json.dumps({"mobile": "MOBILE", "customer_create": PROFILE})


def _bytes(template: str) -> Any:
    return lambda world: template.replace("MOBILE", world.mobile()).encode()


ROWS: Final = (
    row(
        "16 official Node",
        "token, with its host leaking",
        plain(
            "POST",
            "/auth/token",
            json=credentials(host="open.youzanyun.com"),
            headers={"content-type": "application/json;charset=UTF-8", "user-agent": "YZY-Open-Client 1.0.0 - Node"},
        ),
        body_is(token_data()),
    ),
    row(
        "16 official Node",
        "create, raw UTF-8",
        call(
            "create/3.0.0",
            content=_bytes(_UTF8),
            headers={"content-type": "application/json;charset=UTF-8", "user-agent": "YZY-Open-Client 1.0.0 - Node"},
        ),
        data(CREATED),
    ),
    row(
        "16 official PHP",
        "create, escaped",
        call("create/3.0.0", content=_bytes(_ESCAPED), headers=JSON | {"user-agent": "YZY-Open-Client 2.0.20-PHP"}),
        data(CREATED),
    ),
    row(
        "16 waywake TS",
        "create, with fetch's headers",
        call(
            "create/3.0.0",
            content=_bytes(_UTF8),
            headers=JSON | {"accept": "*/*", "sec-fetch-mode": "cors", "accept-encoding": "gzip, deflate"},
        ),
        data(CREATED),
    ),
    row(
        "16 xu42 Go",
        "token with grant_id as text",
        plain(
            "POST",
            "/auth/token",
            json=credentials(grant_id=lambda w: str(w.shop.id)),
            headers={"user-agent": "YZY-Open-Client bifrost - GO"},
        ),
        body_is(token_data()),
    ),
    row("16 xu42 Go", "create", call("create/3.0.0", content=_bytes(_UTF8), headers=JSON), data(CREATED)),
    row(
        "16 mrhuyuanchao Go",
        "create as a form, customer_create always {}",
        call("create/3.0.0", data={"mobile": new_mobile, "customer_create": "{}"}),
        data(CREATED),
    ),
    row(
        "16 mrhuyuanchao Go",
        "get as GET, the account's JSON text with + for a space",
        plain(
            "GET",
            lambda w: (
                f"/api/youzan.scrm.customer.get/3.1.0?access_token={w.token}&account=%7B%22account_type%22%3A+%22Mobile%22%2C+%22account_id%22%3A+%22{KNOWN}%22%7D"
            ),
        ),
        data(Has({"name": NAME})),
    ),
    row(
        "16 official Java 2.0.4",
        "token",
        plain(
            "POST",
            "/oauth/token",
            data=old_credentials(),
            headers={
                "content-type": "application/x-www-form-urlencoded; charset=ISO-8859-1",
                "content-encoding": "utf-8",
            },
        ),
        body_is(Has({"access_token": str})),
    ),
    row(
        "16 official Java 2.0.4",
        "create",
        old("youzan.scrm.customer/3.0.0/create", {"mobile": new_mobile, "customer_create": text_of(PROFILE)}),
        legacy(CREATED),
    ),
    row(
        "16 official Java 2.0.4",
        "update answers a bare boolean",
        old(
            "youzan.scrm.customer/3.0.0/update",
            {"account": text_of(BY_MOBILE), "customer_update": text_of({"remark": "z"})},
        ),
        legacy(True),
    ),
    row(
        "16 official Java 2.0.4",
        "detail as GET",
        old("youzan.scrm.customer.detail/1.0.1/get", {"yz_open_id": open_id, "fields": "user_base"}, method="GET"),
        legacy(Has({"name": NAME})),
    ),
    row(
        "16 official PHP 1.x",
        "create with its method in the form",
        old(
            "youzan.scrm.customer/3.0.0/create",
            {"method": "youzan.scrm.customer.create", "mobile": new_mobile, "customer_create": text_of(PROFILE)},
        ),
        legacy(CREATED),
    ),
    row(
        "16 yz-open-sdk-nodejs",
        "object parameters in brackets on a GET",
        plain(
            "GET",
            "/api/oauthentry/youzan.scrm.customer/3.1.0/get",
            params={"access_token": token, "account[account_id]": KNOWN, "account[account_type]": "Mobile"},
        ),
        legacy(Has({"name": NAME})),
    ),
    row(
        "16 zedisdog",
        "update, JSON",
        call("update/3.0.0", {"account": BY_MOBILE, "customer_update": {"name": NAME}}),
        data(True),
    ),
)
