"""Parsing of filters in requests, and the problem for filters that can't be parsed."""

from aiplatform.data.filters import FilterError, Node, parse
from aiplatform.server.core.errors import Invalid


class FilterInvalid(Invalid):
    """A filter that can't be parsed; ``position`` counts its characters from 1."""

    code = "filter_invalid"
    title = {"en": "Invalid filter", "zh": "过滤条件无效"}
    detail = {
        "en": "The {what} can't be read: {reason} (at character {position}).",
        "zh": "无法解析 {what}：{reason}（第 {position} 个字符处）。",
    }


def read_filter(text: str | None) -> Node | None:
    """Return the syntax tree of a request's filter; None if there is no filter.

    Raises:
        FilterInvalid: the message says what is wrong, and where.
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
