"""The base class of all specs and request bodies."""

from difflib import get_close_matches
from typing import Any, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

BUILT_IN = frozenset(get_args(ErrorType))
"""Error types whose messages pydantic provides; other types have their own messages."""

MAX_ERRORS = 20
"""Maximum number of errors reported for a value with unknown fields."""

MAX_LISTED = 12
"""Maximum number of fields listed for a name that resembles none of them."""


class Strict(BaseModel):
    """A model that refuses unknown fields, so that a misspelt hyper-parameter is not ignored."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_fields(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Suggest known fields for unknown ones."""
        try:
            return handler(value)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
            if not any(_is_unknown_field(error) for error in errors):
                raise
            raise ValidationError.from_exception_data(
                invalid.title, [_with_suggestion(error, cls) for error in errors[:MAX_ERRORS]]
            ) from None


def _is_unknown_field(error: Any) -> bool:
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


def _with_suggestion(error: Any, model: type[BaseModel]) -> InitErrorDetails:
    """Return an error in pydantic's input format, with a suggestion if a field is unknown."""
    kind: str | PydanticCustomError = error["type"]
    if _is_unknown_field(error):
        # Limit length and number: comparing long names or many errors would take too long, and
        # such input is never a mere typo.
        advice, advice_zh = suggestion(str(error["loc"][0])[:100], list(model.model_fields))
        context = {"advice": advice, "advice_zh": advice_zh}
        kind = PydanticCustomError("unknown_field", "there is no such field. {advice}", context)
    elif kind not in BUILT_IN:
        kind = PydanticCustomError(error["type"], error["msg"], error.get("ctx"))
    details = InitErrorDetails(type=kind, loc=error["loc"], input=error["input"])
    if "ctx" in error and isinstance(kind, str):
        details["ctx"] = error["ctx"]
    return details


def suggestion(name: str, names: list[str]) -> tuple[str, str]:
    """Return advice on a misspelt name, in English and Chinese.

    The advice lists similar names, or else all names.
    """
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?", f"您是否指 {' 或 '.join(close)}？"
    shown = ", ".join(sorted(names)[:MAX_LISTED])
    more = ", …" if len(names) > MAX_LISTED else ""
    return f"There are: {shown}{more}.", f"可用字段：{shown}{more}。"
