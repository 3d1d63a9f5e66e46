"""Texts for pydantic's validation errors, addressed to the user who sent the value.

No text contains a regular expression or a name from the platform's code.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from aiplatform.protocol.pattern_descriptions import (
    PATTERN_DESCRIPTIONS,
    UNKNOWN_PATTERN,
    Expectation,
)

REQUEST_PARTS = frozenset({"body", "query", "path", "header", "cookie"})

_JSON_KINDS: dict[str, Expectation] = {
    "bool": Expectation("true or false", "true 或 false"),
    "bytes": Expectation("text", "文本"),
    "date": Expectation("a date such as 2026-01-31", "日期，如 2026-01-31"),
    "datetime": Expectation(
        "a date with a time, such as 2026-01-31T08:00:00Z", "日期时间，如 2026-01-31T08:00:00Z"
    ),
    "dict": Expectation("a JSON object", "JSON 对象"),
    "float": Expectation("a number", "数字"),
    "frozen_set": Expectation("a list", "列表"),
    "int": Expectation("a whole number", "整数"),
    "list": Expectation("a list", "列表"),
    "mapping": Expectation("a JSON object", "JSON 对象"),
    "model": Expectation("a JSON object", "JSON 对象"),
    "model_attributes": Expectation("a JSON object", "JSON 对象"),
    "set": Expectation("a list", "列表"),
    "string": Expectation("text", "文本"),
    "time": Expectation("a time such as 08:00", "时间，如 08:00"),
    "time_delta": Expectation("a number of seconds", "秒数"),
    "timezone_aware": Expectation(
        "a date with a time and a zone, such as 2026-01-31T08:00:00Z",
        "带时区的日期时间，如 2026-01-31T08:00:00Z",
    ),
    "tuple": Expectation("a list", "列表"),
    "url": Expectation("an address such as https://example.com", "地址，如 https://example.com"),
    "uuid": Expectation("a uuid", "uuid"),
}
"""Expected values, keyed by the first part of pydantic's error types."""

_KIND_ENDINGS = ("_parsing", "_type", "_from_date_parsing", "_from_float", "_parsing_size")


def _bound(words: str, words_zh: str, key: str) -> Callable[[Mapping[str, Any]], Expectation]:
    return lambda facts: Expectation(f"{words} {facts[key]}", f"{words_zh} {facts[key]}")


_SINGULAR = {"characters": "character", "entries": "entry"}


def _size(
    least: bool, key: str, unit: str, unit_zh: str
) -> Callable[[Mapping[str, Any]], Expectation]:
    def words(facts: Mapping[str, Any]) -> Expectation:
        number = facts[key]
        units = unit if number != 1 else _SINGULAR[unit]
        if least:
            return Expectation(f"at least {number} {units} long", f"至少 {number} {unit_zh}")
        return Expectation(f"at most {number} {units} long", f"最多 {number} {unit_zh}")

    return words


_LIMITS: dict[str, Callable[[Mapping[str, Any]], Expectation]] = {
    "greater_than": _bound("greater than", "大于", "gt"),
    "greater_than_equal": _bound("at least", "不小于", "ge"),
    "less_than": _bound("less than", "小于", "lt"),
    "less_than_equal": _bound("at most", "不大于", "le"),
    "multiple_of": _bound("a multiple of", "以下数的倍数：", "multiple_of"),
    "string_too_short": _size(True, "min_length", "characters", "个字符"),
    "string_too_long": _size(False, "max_length", "characters", "个字符"),
    "too_short": _size(True, "min_length", "entries", "项"),
    "too_long": _size(False, "max_length", "entries", "项"),
    "literal_error": _bound("", "以下之一：", "expected"),
    "enum": _bound("", "以下之一：", "expected"),
    "union_tag_invalid": _bound("of one of the types", "以下类型之一：", "expected_tags"),
}

_COMPLETE_TEXTS: dict[str, Expectation] = {
    "missing": Expectation("is required", "不能为空"),
    "missing_argument": Expectation("is required", "不能为空"),
    "extra_forbidden": Expectation(
        "is not known here; is it misspelt?", "未知字段，是否拼写有误？"
    ),
    "json_invalid": Expectation("is not valid JSON", "不是有效的 JSON"),
    "json_type": Expectation("is not valid JSON", "不是有效的 JSON"),
    "finite_number": Expectation("must be a finite number", "应为有限的数字"),
    "none_required": Expectation("must be null", "应为 null"),
    "string_unicode": Expectation("must be valid Unicode", "应为有效的 Unicode 文本"),
    "union_tag_not_found": Expectation("must say its type", "需要指明类型"),
}


def describe(error: Any) -> Expectation:
    """Return the description of a validation error as a predicate ("must be ...").

    If one of the platform's own validators raised it, its own text is used.

    Args:
        error: one of a ``ValidationError``'s ``errors()``.
    """
    kind, facts = str(error["type"]), error.get("ctx") or {}
    if kind == "string_pattern_mismatch":
        return _must_be(PATTERN_DESCRIPTIONS.get(str(facts.get("pattern")), UNKNOWN_PATTERN))
    if kind == "unknown_field" and facts.get("advice_zh"):
        return Expectation(str(error["msg"]), f"没有这个字段。{facts['advice_zh']}")
    if facts.get("words_zh"):
        return Expectation(str(error["msg"]), str(facts["words_zh"]))
    if kind in _COMPLETE_TEXTS:
        return _COMPLETE_TEXTS[kind]
    if kind in _LIMITS:
        words = _LIMITS[kind](facts)
        return _must_be(Expectation(words.en.strip(), words.zh))
    for ending in _KIND_ENDINGS:
        if kind.endswith(ending) and kind.removesuffix(ending) in _JSON_KINDS:
            return _must_be(_JSON_KINDS[kind.removesuffix(ending)])
    text = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    text = re.sub(r"^(?:Input|Value|String|Data)\w* should", "must", text)
    return Expectation(text, text)


def _must_be(words: Expectation) -> Expectation:
    return Expectation(f"must be {words.en}", f"应为{words.zh}")


def message_of(error: Any) -> str:
    """Return the English description of a validation error."""
    return describe(error).en


def message_zh_of(error: Any) -> str:
    """Return the Chinese description of a validation error, or the English one if there is none."""
    return describe(error).zh


def place_of(error: Any, given: Any = None) -> str:
    """Return the location of a validation error as the sender wrote it; empty for the whole value.

    The location consists of field names separated by dots.

    Args:
        error: one of a ``ValidationError``'s ``errors()``.
        given: the value that was validated. Parts of the location that do not occur in it, such as
            the chosen member of a union, are left out.
    """
    parts = list(error["loc"])
    in_request = bool(parts) and parts[0] in REQUEST_PARTS
    source = parts.pop(0) if in_request else None
    if source in {"query", "path", "header", "cookie"}:
        return str(parts[0]) if parts else str(source)
    if given is not None:
        parts = _parts_in_value(parts, given, str(error["type"]))
    if source == "body" and (not parts or error["type"] == "json_invalid"):
        return "the request's body"
    if given is None:
        parts = [part for part in parts if not _is_internal(part)]
    return ".".join(str(part) for part in parts)


def _parts_in_value(parts: list[Any], given: Any, kind: str) -> list[Any]:
    """Return the parts of a location that lead through the given value."""
    found: list[Any] = []
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if isinstance(given, Mapping):
            if part in given:
                given = given[part]
                found.append(part)
            elif is_last and kind in {"missing", "extra_forbidden", "unknown_field"}:
                found.append(part)
        elif isinstance(given, list | tuple) and isinstance(part, int) and part < len(given):
            given = given[part]
            found.append(part)
    return found


def _is_internal(part: Any) -> bool:
    """Return True if a part names a type or function: ``list[str]``, ``function-after[…]``."""
    return isinstance(part, str) and (part == "[key]" or re.search(r"[\[\]()]", part) is not None)


def error_text(error: Any, given: Any = None) -> str:
    """Return the description of a validation error, preceded by its location."""
    place = place_of(error, given)
    return f"{place}: {message_of(error)}" if place else message_of(error)
