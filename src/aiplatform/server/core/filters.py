"""The filter language in requests: one way to read it, and one problem for what can't be read."""

from aiplatform.data.filters import FilterError, Node, parse
from aiplatform.server.core.errors import Invalid


class FilterInvalid(Invalid):
    """The text is no filter; ``position`` counts its characters from 1."""

    code = "filter_invalid"
    title = {"en": "Invalid filter", "zh": "过滤条件无效"}
    detail = {
        "en": "The {what} can't be read: {reason} (at character {position}).",
        "zh": "无法解析 {what}：{reason}（第 {position} 个字符处）。",
    }


def read_filter(text: str | None) -> Node | None:
    """Return the tree of a request's filter; None where it has none.

    Raises:
        FilterInvalid: says what is wrong with it, and where.
    """
    if text is None:
        return None
    try:
        return parse(text)
    except FilterError as error:
        raise invalid(error) from None


def invalid(error: FilterError, what: str = "filter") -> FilterInvalid:
    """Return the problem that goes out."""
    return FilterInvalid(what=what, reason=error.reason, position=error.position)
