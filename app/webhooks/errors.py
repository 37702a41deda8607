"""Refusals about subscriptions and deliveries."""

from app.core.errors import Conflict, NotFound, Unauthorized, Unprocessable


class EndpointNotFound(NotFound):
    """No endpoint of that id."""

    code, title = "webhook_not_found", "There is no such webhook in this shop"


class DeliveryNotFound(NotFound):
    """No delivery of that id."""

    code, title = "delivery_not_found", "There is no such delivery in this shop"


class EndpointDisabled(Conflict):
    """Nothing is sent to it."""

    code, title = "webhook_disabled", "The webhook is disabled; enable it first"


class UrlRefused(Unprocessable):
    """An address that this installation does not call."""

    code, title = "url_refused", "This URL will not be called"


class NotResendable(Conflict):
    """The delivery is under way, was cancelled, or has nowhere to go."""

    code, title = "not_resendable", "This delivery cannot be sent again as things are"


class SignatureRefused(Unauthorized):
    """The message is not signed with a live secret of the endpoint."""

    code, title = "signature_refused", "The signature does not verify"
