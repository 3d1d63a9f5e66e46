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
"""Types of errors whose texts pydantic provides; other types have texts of their own."""

MAX_FAULTS = 20
"""Largest number of errors that are reported for a value with unknown fields."""

MAX_LISTED = 12
"""Largest number of fields that are listed for a name that resembles none of them."""


class Strict(BaseModel):
    """A model that refuses unknown fields: a misspelt hyper-parameter must not be ignored."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_fields(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Suggest known fields for unknown ones."""
        try:
            return handler(value)
        except ValidationError as error:
            faults = error.errors(include_url=False)
            if not any(_is_own(fault) for fault in faults):
                raise
            raise ValidationError.from_exception_data(
                error.title, [_described(fault, cls) for fault in faults[:MAX_FAULTS]]
            ) from None


def _is_own(fault: Any) -> bool:
    return fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1


def _described(fault: Any, model: type[BaseModel]) -> InitErrorDetails:
    """Return an error in pydantic's input format, with a suggestion if it is an unknown field."""
    kind: str | PydanticCustomError = fault["type"]
    if _is_own(fault):
        # Limit length and number: comparing long names or many errors would take too long, and
        # nobody makes such mistakes by accident.
        advice, advice_zh = suggestion(str(fault["loc"][0])[:100], list(model.model_fields))
        context = {"advice": advice, "advice_zh": advice_zh}
        kind = PydanticCustomError("unknown_field", "there is no such field. {advice}", context)
    elif kind not in BUILT_IN:
        kind = PydanticCustomError(fault["type"], fault["msg"], fault.get("ctx"))
    details = InitErrorDetails(type=kind, loc=fault["loc"], input=fault["input"])
    if "ctx" in fault and isinstance(kind, str):
        details["ctx"] = fault["ctx"]
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
