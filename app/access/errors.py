"""Refusals at the door. The first three differ for Youzan clients, which react to each in its own way."""

from app.core.errors import Forbidden, Unauthorized


class CredentialMissing(Unauthorized):
    """Nothing was shown."""

    code = "credential_missing"


class CredentialUnknown(Unauthorized):
    """Never issued, or mistyped."""

    code, title = "credential_unknown", "The access token or API key is not known"


class _OnceLive(Unauthorized):
    """A credential of a shop that is known, so that the refusal can be recorded there."""

    def __init__(self, detail: str | None = None, *, shop_id: int | None = None) -> None:
        super().__init__(detail)
        self.shop_id = shop_id


class CredentialExpired(_OnceLive):
    """Was live once."""

    code, title = "credential_expired", "The access token has expired; ask for a new one"


class CredentialRevoked(_OnceLive):
    """Taken back, or its client was."""

    code, title = "credential_revoked", "The access token, API key or its client was revoked"


class AppUnknown(Unauthorized):
    """A client id that is not live."""

    code, title = "app_unknown", "There is no such client"


class SignatureWrong(Unauthorized):
    """The parameters were not signed with the client's secret."""

    code, title = "signature_wrong", "The signature does not fit"


class ScopeMissing(Forbidden):
    """Live, and not for this."""

    code, title = "scope_missing", "The credential lacks the scope for this call"


class TokenRefused(Exception):
    """A refusal of the token endpoint, in Youzan's own numbers."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
