"""Refusals about customers."""

from app.core.errors import Conflict, NotFound


class CustomerNotFound(NotFound):
    """Not there, or another shop's."""

    code, title = "customer_not_found", "There is no such customer in this shop"


class CustomerExists(Conflict):
    """Someone already holds an identity of a customer who was to be new."""

    code, title = "customer_exists", "A customer with this identity already exists"


class IdentityConflict(Conflict):
    """One write names identities of two customers."""

    code, title = "identity_conflict", "The identities belong to two different customers"
