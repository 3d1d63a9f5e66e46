"""The built-in rewards, each a function of an answer, its reference and the settings."""

import json
import re
from typing import Any

from aiplatform.data.json_schemas import compile_schema
from aiplatform.protocol.rewards import (
    ContainsReward,
    ExactReward,
    JsonSchemaReward,
    LengthReward,
    NumericReward,
    RegexReward,
)
from aiplatform.runtime.training.rewards.answer import Answer

NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?:e[-+]?\d+)?"
    r"|(?<![\w.])[-+]?\.\d+(?:e[-+]?\d+)?"
    r"|\d+(?:\.\d+)?",
    re.IGNORECASE | re.ASCII,
)
FENCED = re.compile(r"\s*```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL | re.IGNORECASE)


def exact(answer: Answer, reference: str | None, settings: ExactReward) -> float:
    """Return 1 if the answer equals the reference, otherwise 0."""
    given, wanted = answer.text, reference or ""
    if settings.ignore_whitespace:
        given, wanted = " ".join(given.split()), " ".join(wanted.split())
    if settings.ignore_case:
        given, wanted = given.casefold(), wanted.casefold()
    return float(given == wanted)


def contains(answer: Answer, reference: str | None, settings: ContainsReward) -> float:
    """Return 1 if the answer contains the text from the settings, otherwise 0.

    If the settings contain no text, the answer must contain the reference.
    """
    given = answer.text
    wanted = settings.text if settings.text is not None else (reference or "").strip()
    if settings.ignore_case:
        given, wanted = given.casefold(), wanted.casefold()
    return float(wanted in given)


def numeric(answer: Answer, reference: str | None, settings: NumericReward) -> float:
    """Return 1 if the last numbers in answer and reference agree within the tolerance, otherwise 0.

    Raises:
        ValueError: The reference has no number.
    """
    wanted = last_number(reference or "")
    if wanted is None:
        raise ValueError("the reference has no number")
    given = last_number(answer.text)
    return float(given is not None and abs(given - wanted) <= settings.tolerance)


def last_number(text: str) -> float | None:
    """Return the last number in a text, or None. Commas may separate groups of three digits."""
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return float(found[-1].replace(",", "")) if found else None


def regex(answer: Answer, _reference: str | None, settings: RegexReward) -> float:
    """Return 1 if the pattern matches the answer, otherwise 0.

    Unless ``settings.whole`` is set, it is enough that the pattern matches a part of the answer.
    """
    pattern = re.compile(settings.pattern, re.IGNORECASE if settings.ignore_case else 0)
    match = pattern.fullmatch if settings.whole else pattern.search
    return float(match(answer.text) is not None)


def json_schema(answer: Answer, _reference: str | None, settings: JsonSchemaReward) -> float:
    """Return 1 if the answer is JSON that the schema accepts, otherwise 0.

    The JSON may be in a fenced Markdown code block.

    Raises:
        ValueError: The schema is invalid.
    """
    accepts = compile_schema(settings.json_schema)
    fenced = FENCED.fullmatch(answer.text)
    try:
        document = json.loads(fenced[1] if fenced else answer.text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return 0.0
    return float(accepts(document))


def length(answer: Answer, _reference: str | None, settings: LengthReward) -> float:
    """Return 1 at the target length, and less in proportion to the difference, down to 0."""
    found = answer.tokens if settings.unit == "tokens" else len(answer.text)
    return max(0.0, 1 - abs(found - settings.target) / settings.target)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
