"""Refusals about events and their types."""

from app.core.errors import Conflict, NotFound


class EventNotFound(NotFound):
    """Not there, or another shop's."""

    code, title = "event_not_found", "There is no such event in this shop"


class EventTypeNotFound(NotFound):
    """The shop declares no such type."""

    code, title = "event_type_not_found", "The shop declares no such type; the built-in ones are not declared"


class EventTypeBuiltIn(Conflict):
    """A type that every shop has."""

    code, title = "event_type_built_in", "This type is built in and takes any properties; declare one of another name"
