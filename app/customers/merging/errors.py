"""Refusals about merging."""

from app.core.errors import Conflict, NotFound


class MergeNotFound(NotFound):
    """Not there, or another shop's."""

    code, title = "merge_not_found", "There is no such merge in this shop"


class ConflictNotFound(NotFound):
    """Not there, or another shop's."""

    code, title = "merge_conflict_not_found", "There is no such merge conflict in this shop"


class AlreadyOneCustomer(Conflict):
    """Two records of one person cannot be merged once more."""

    code, title = "already_one_customer", "The two are one customer already"
