"""Contract 3: token endpoints, new and old."""

from typing import Final

from tests.youzan.conformance.patterns import Has
from tests.youzan.conformance.requests import credentials, old_credentials, plain, row, token_data, token_refused
from tests.youzan.conformance.world import body_is, token

ROWS: Final = (
    row(
        "3.1",
        "grant_id as text",
        plain("POST", "/auth/token", json=credentials(grant_id=lambda w: str(w.shop.id))),
        body_is(token_data()),
    ),
    row(
        "3.1",
        'refresh as the text "false"',
        plain("POST", "/auth/token", json=credentials(refresh="false")),
        body_is(token_data(access_token=token)),
    ),
    row(
        "3.1",
        "refresh false answers the current token",
        plain("POST", "/auth/token", json=credentials()),
        body_is(token_data(access_token=token)),
    ),
    row(
        "3.1",
        "certificate",
        plain("POST", "/auth/token", json=credentials(authorize_type="certificate")),
        body_is(token_data()),
    ),
    row(
        "3.1",
        "a form is refused with 1000",
        plain("POST", "/auth/token", data=credentials()),
        body_is(token_refused(1000)),
    ),
    row(
        "3.3 1000",
        "a wrong secret",
        plain("POST", "/auth/token", json=credentials(client_secret="no")),
        body_is(token_refused(1000)),
    ),
    row(
        "3.3 1103",
        "an unknown client",
        plain("POST", "/auth/token", json=credentials(client_id="no")),
        body_is(token_refused(1103)),
    ),
    row(
        "3.3 1103",
        "another shop",
        plain("POST", "/auth/token", json=credentials(grant_id=1)),
        body_is(token_refused(1103)),
    ),
    row(
        "3.3 1005",
        "an unknown code",
        plain("POST", "/auth/token", json=credentials(authorize_type="authorization_code", code="x")),
        body_is(token_refused(1005)),
    ),
    row(
        "3.3 1105",
        "an unknown type",
        plain("POST", "/auth/token", json=credentials(authorize_type="password")),
        body_is(token_refused(1105)),
    ),
    row(
        "3.4",
        "flat: access_token, expires_in, scope, token_type, refresh_token",
        plain("POST", "/oauth/token", data=old_credentials()),
        body_is({"access_token": str, "expires_in": int, "scope": str, "token_type": str, "refresh_token": str}),
    ),
    row(
        "3.4",
        "authorize_platform",
        plain("POST", "/oauth/token", data=old_credentials(grant_type="authorize_platform")),
        body_is(Has({"access_token": str})),
    ),
    row(
        "3.4",
        "some clients send JSON",
        plain("POST", "/oauth/token", json=old_credentials()),
        body_is(Has({"access_token": str})),
    ),
    row(
        "3.4",
        "errors are flat",
        plain("POST", "/oauth/token", data=old_credentials(client_secret="no")),
        body_is({"error": int, "error_description": str}),
    ),
)
