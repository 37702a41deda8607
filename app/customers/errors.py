"""Refusals about customers."""

from app.core.errors import Conflict, NotFound, Unprocessable


class CustomerNotFound(NotFound):
    """Not there, or another shop's."""

    code, title = "customer_not_found", "There is no such customer in this shop"


class CustomerExists(Conflict):
    """Someone already holds an identity of a customer who was to be new."""

    code, title = "customer_exists", "A customer with this identity already exists"


class IdentityNotFound(NotFound):
    """Not there, or another customer's."""

    code, title = "identity_not_found", "This customer holds no such identity"


class IdentityConflict(Conflict):
    """An identity that was to be added is another customer's, and the policy does not let it make the two one."""

    code, title = "identity_conflict", "Another customer holds the identity; see GET /v1/merge-conflicts"


class IdentityLimit(Conflict):
    """More of a kind than one person has."""

    code, title = "identity_limit", "One person does not have so many identities of this kind"


class IdentityBlocked(Unprocessable):
    """Every identity of the write stands for nobody: 13800138000, zeros, "null" and the like."""

    code, title = "identity_blocked", "No identity here stands for anybody; leave placeholders out and send a real one"
