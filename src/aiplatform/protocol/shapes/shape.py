"""The base class of all responses, which the SDK can read from older and newer servers."""

from types import NoneType
from typing import Any, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

EMPTY_TYPES = (list, dict, bool, int, float)


class Shape(BaseModel):
    """An object in a response from the server.

    The server sends every field. A program that reads a response with :meth:`read_answer` may be
    older or newer than the server.
    """

    @classmethod
    def read_answer(cls, data: Any) -> Self:
        """Read a response, or a part of it, from a server of any version.

        Fields that a newer server adds are kept as attributes, and so are unknown values of
        :class:`Extensible` fields. A field that an older server does not send is None if it may be
        null, and otherwise empty, zero or False. Missing text, times and uuids are errors.

        Raises:
            pydantic.ValidationError: ``data`` can't be read as this shape.
        """
        return cls.model_validate(data, extra="allow", context=OTHER_VERSION)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_missing_fields(cls, data: Any, info: ValidationInfo) -> Any:
        if info.context is not OTHER_VERSION or not isinstance(data, dict):
            return data
        missing = {
            name: empty_value(field.annotation)
            for name, field in cls.model_fields.items()
            if field.is_required() and name not in data and has_empty_value(field.annotation)
        }
        return {**data, **missing} if missing else data


OTHER_VERSION = {"other_version": True}
"""The validation context for :meth:`Shape.read_answer`."""


class Extensible:
    """An annotation for a set of values that later versions may extend.

    A program that reads a response keeps unknown values; see :meth:`Shape.read_answer`.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the schema of the known values."""
        return core_schema.with_info_wrap_validator_function(
            _accept_unknown_text,
            handler(source),
            # The serializer of an enumeration would warn about values that are not its members.
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )


def _accept_unknown_text(
    value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Any:
    try:
        return handler(value)
    except ValidationError:
        if info.context is OTHER_VERSION and isinstance(value, str):
            return value
        raise


def has_empty_value(annotation: Any) -> bool:
    """Return True if :func:`empty_value` can return a value for this type."""
    return NoneType in get_args(annotation) or (get_origin(annotation) or annotation) in EMPTY_TYPES


def empty_value(annotation: Any) -> Any:
    """Return the value of a field that an older server does not send.

    It is None if the field may be null, and otherwise an empty list or mapping, zero or False.
    """
    if NoneType in get_args(annotation):
        return None
    return (get_origin(annotation) or annotation)()
