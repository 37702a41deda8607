"""Contract 1 and 2: ways in, forms, the order of checks, envelopes."""

from typing import Final

from tests.youzan.conformance.patterns import Has
from tests.youzan.conformance.requests import (
    BY_MOBILE,
    CREATED,
    FORM,
    JSON,
    PROFILE,
    credentials,
    old_credentials,
    plain,
    row,
    token_data,
)
from tests.youzan.conformance.signatures import signed
from tests.youzan.conformance.world import (
    KNOWN,
    NAME,
    body_is,
    call,
    data,
    gateway,
    legacy,
    legacy_refused,
    new_mobile,
    old,
    refused,
    text_of,
    token,
)

TRANSPORT: Final = (
    row("1.1 A", "POST /api/{name}/{version}", call("create/3.0.0", {"mobile": new_mobile}), data(CREATED)),
    row(
        "1.1 B",
        "auth_exempt carries no token, and no call here is free of one",
        plain("POST", "/api/auth_exempt/youzan.scrm.customer.list/1.0.0", json={}),
        gateway(4201),
    ),
    row(
        "1.1 C",
        "_textarea_ with a token",
        plain("POST", "/api/_textarea_/youzan.scrm.customer.list/1.0.0", params={"access_token": token}, json={}),
        data(Has({"total": int})),
    ),
    row(
        "1.1 C",
        "_textarea_ without one, as the Node SDK sends it",
        plain("POST", "/api/_textarea_/youzan.scrm.customer.list/1.0.0", json={}),
        gateway(4201),
    ),
    row("1.1 D", "POST /auth/token", plain("POST", "/auth/token", json=credentials()), body_is(token_data())),
    row(
        "1.1 E",
        "POST /api/oauthentry: the last dot splits namespace and action",
        old("youzan.scrm.customer/3.0.0/create", {"mobile": new_mobile}),
        legacy(CREATED),
    ),
    row(
        "1.1 E",
        "GET /api/oauthentry",
        old("youzan.scrm.customer/3.1.0/get", {"account": text_of(BY_MOBILE)}, method="GET"),
        legacy(Has({"name": NAME})),
    ),
    row(
        "1.1 F",
        "POST /api/entry, signed",
        plain("POST", "/api/entry/youzan.scrm.customer/3.0.0/create", data=signed(mobile=new_mobile)),
        legacy(CREATED),
    ),
    row(
        "1.1 F",
        "GET /api/entry, signed",
        plain("GET", "/api/entry/youzan.scrm.customer/3.0.0/create", params=signed(mobile=new_mobile)),
        legacy(CREATED),
    ),
    row(
        "1.1 G",
        "POST /oauth/token",
        plain("POST", "/oauth/token", data=old_credentials()),
        body_is(Has({"access_token": str})),
    ),
    row(
        "1.2",
        "GET with query parameters",
        plain(
            "GET",
            "/api/youzan.scrm.customer.get/3.1.0",
            params={"access_token": token, "account": text_of(BY_MOBILE)},
        ),
        data(Has({"name": NAME})),
    ),
    row("1.2", "POST as a form", call("create/3.0.0", data={"mobile": new_mobile}), data(CREATED)),
    row(
        "1.2", "POST as multipart", call("create/3.0.0", files={"mobile": lambda w: (None, w.mobile())}), data(CREATED)
    ),
    row(
        "1.2",
        "JSON with a charset",
        call("list/1.0.0", content=b"{}", headers={"content-type": "application/json;charset=UTF-8"}),
        data(Has({"total": int})),
    ),
    row(
        "1.2",
        "text/plain is refused",
        call("list/1.0.0", content=b"{}", headers={"content-type": "text/plain"}),
        gateway(4007),
    ),
    row(
        "1.2",
        "PUT is refused, and told its method and content type",
        plain("PUT", "/api/youzan.scrm.customer.list/1.0.0", params={"access_token": token}, json={}),
        gateway(4007, "httpMethod:PUT, contentType:application/json"),
    ),
    row("1.2", "a body that is not JSON", call("list/1.0.0", content=b"{", headers=JSON), gateway(4004)),
    row("1.2", "PHP posts {} for no parameters", call("list/1.0.0", {}), data(Has({"total": int}))),
    row(
        "1.2",
        "Node posts no bytes for no parameters",
        call("list/1.0.0", content=b"", headers=JSON),
        data(Has({"total": int})),
    ),
    row(
        "1.2",
        "explicit nulls are absent",
        call("create/3.0.0", {"mobile": new_mobile, "country_code": None, "customer_create": None}),
        data(CREATED),
    ),
    row(
        "1.2",
        "host, method and access_token may leak into the body",
        call(
            "create/3.0.0", {"mobile": new_mobile, "host": "open.youzanyun.com", "method": "POST", "access_token": "x"}
        ),
        data(CREATED),
    ),
    row(
        "1.3",
        "a token in the Authorization header counts as missing",
        plain(
            "POST",
            "/api/youzan.scrm.customer.list/1.0.0",
            json={},
            headers={"authorization": lambda world: f"Bearer {world.token}"},
        ),
        gateway(4201),
    ),
    row(
        "1.3",
        "a token in the JSON body counts as missing",
        plain("POST", "/api/youzan.scrm.customer.list/1.0.0", json={"access_token": token}),
        gateway(4201),
    ),
    row(
        "1.3 E",
        "the token in the query of a POST",
        plain(
            "POST",
            "/api/oauthentry/youzan.scrm.customer/3.0.0/create",
            params={"access_token": token},
            data={"mobile": new_mobile},
        ),
        legacy(CREATED),
    ),
    row(
        "1.4",
        "structs as objects",
        call("create/3.0.0", {"mobile": new_mobile, "customer_create": PROFILE}),
        data(CREATED),
    ),
    row(
        "1.4",
        "structs as JSON text",
        call("create/3.0.0", {"mobile": new_mobile, "customer_create": text_of(PROFILE)}),
        data(CREATED),
    ),
    row(
        "1.4",
        "numbers and booleans as texts",
        call("list/1.0.0", data={"page_no": "1", "page_size": "5", "is_member": "0", "has_mobile": "true"}),
        data(Has({"page_no": 1})),
    ),
    row(
        "1.4",
        "dates with and without a time",
        call(
            "create/3.0.0",
            {
                "mobile": new_mobile,
                "customer_create": {"birthday": "1990-01-02 00:00:00"},
                "create_date": "2020-01-01 08:00:00",
            },
        ),
        data(CREATED),
    ),
    row(
        "1.4",
        "nested GET parameters in brackets",
        plain(
            "GET",
            "/api/youzan.scrm.customer.get/3.1.0",
            params={"access_token": token, "account[account_type]": "Mobile", "account[account_id]": KNOWN},
        ),
        data(Has({"name": NAME})),
    ),
    row(
        "1.4",
        "Content-Encoding: utf-8 on a plain form",
        call("create/3.0.0", data={"mobile": new_mobile}, headers=FORM | {"content-encoding": "utf-8"}),
        data(CREATED),
    ),
)

ORDER: Final = (
    row("1.5 1", "a path without a version", plain("POST", "/api/youzan.scrm.customer.list"), gateway(4001)),
    row(
        "1.5 2",
        "an unknown API is told before the method and the token",
        plain("PUT", "/api/youzan.scrm.customer.list/9.9.9"),
        gateway(4005),
    ),
    row(
        "1.5 3",
        "the content type before the token",
        plain("POST", "/api/youzan.scrm.customer.list/1.0.0", content=b"x", headers={"content-type": "text/xml"}),
        gateway(4007),
    ),
    row(
        "1.5 4",
        "the token before the body",
        plain("POST", "/api/youzan.scrm.customer.list/1.0.0", content=b"{"),
        gateway(4201),
    ),
    row(
        "1.5 5",
        "an unknown token before the body",
        plain(
            "POST",
            "/api/youzan.scrm.customer.list/1.0.0",
            params={"access_token": "0f3c0f3c"},
            content=b"{",
            headers=JSON,
        ),
        gateway(4203, "Token 不存在"),
    ),
    row(
        "1.5 8",
        "a parameter of another type",
        call("list/1.0.0", {"page_no": [1]}),
        gateway(4010),
    ),
)

ENVELOPES: Final = (
    row("2.1", "success: trace_id, code 200, success, message, data", call("list/1.0.0"), data(Has({"total": int}))),
    row(
        "2.1", "data may be a boolean", call("update/3.0.0", {"account": BY_MOBILE, "customer_update": {}}), data(True)
    ),
    row(
        "2.2",
        "a business error: code, success false, data null",
        call("create/3.0.0", {"mobile": KNOWN}),
        refused(143001027),
    ),
    row("2.3", "a gateway error: one key", call("list/9.9.9"), gateway(4005, "非法的API")),
    row("2.3 4201", "no token", plain("POST", "/api/youzan.scrm.customer.list/1.0.0"), gateway(4201, "非法的请求凭证")),
    row("2.3 4001", "a bad path", plain("GET", "/api/"), gateway(4001, "非法请求地址")),
    row(
        "2.4",
        "legacy success, a bare boolean",
        old("youzan.scrm.customer/3.0.0/update", {"account": text_of(BY_MOBILE), "customer_update": "{}"}),
        legacy(True),
    ),
    row(
        "2.4",
        "legacy error under msg and message",
        old("youzan.scrm.customer/3.0.0/create", {"mobile": KNOWN}),
        legacy_refused(143001027),
    ),
    row(
        "2.4",
        "a bad token is 40010",
        old("youzan.scrm.customer/3.0.0/create", {"access_token": "nobody's"}),
        legacy_refused(40010),
    ),
    row("2.6", "list: page_size up to 50", call("list/1.0.0", {"page_size": 51}), refused(141500101)),
    row("2.6", "list: 500 pages", call("list/1.0.0", {"page_no": 501}), refused(142710032)),
    row("2.6", "list: 10,000 rows", call("list/1.0.0", {"page_no": 201, "page_size": 50}), refused(142710032)),
)

ROWS: Final = (*TRANSPORT, *ORDER, *ENVELOPES)
