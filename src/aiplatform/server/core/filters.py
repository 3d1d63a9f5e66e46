"""Parsing of filters in requests, and the problem for filters that can't be parsed."""

from aiplatform.data.filters import FilterError, Node, parse
from aiplatform.server.core.errors import Invalid


class FilterInvalid(Invalid):
    """A filter that can't be parsed; ``position`` is the faulty character's index, from 1."""

    code = "request.invalid_filter"


def read_filter(text: str | None) -> Node | None:
    """Return the syntax tree of a request's filter, or None if there is no filter.

    Raises:
        FilterInvalid: the filter can't be parsed; the message says why, and at which position.
    """
    if text is None:
        return None
    try:
        return parse(text)
    except FilterError as error:
        raise invalid(error) from None


def invalid(error: FilterError, what: str = "filter") -> FilterInvalid:
    """Return the problem that reports a parse error."""
    return FilterInvalid(what=what, reason=error.reason, position=error.position)
