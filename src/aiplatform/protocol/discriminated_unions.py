"""Unions whose members are distinguished by a field, such as ``kind``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema


@dataclass(frozen=True)
class KindErrors:
    """An annotation, placed after ``Field(discriminator=...)``, that makes errors list valid kinds.

    Without it, pydantic's error for a missing field only says that the tag can't be extracted.

    Attributes:
        field: the field that distinguishes the members of the union.
        default: the kind that a value without the field gets; if None, such a value is refused.
    """

    field: str
    default: str | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        kinds = kinds_of(source, self.field)

        def check(value: Any) -> Any:
            if self.default is not None and isinstance(value, Mapping) and self.field not in value:
                value = {**value, self.field: self.default}
            if isinstance(value, Mapping) and value.get(self.field) not in kinds:
                raise self._fault(value, kinds)
            return value

        return core_schema.no_info_before_validator_function(check, handler(source))

    def _fault(self, value: Mapping[Any, Any], kinds: tuple[str, ...]) -> PydanticCustomError:
        listed = {"field": self.field, "kinds": ", ".join(kinds)}
        listed_zh = "、".join(kinds)
        if self.field not in value:
            return PydanticCustomError(
                "kind_missing",
                "must have the field {field}, which says what it is: one of {kinds}",
                {**listed, "words_zh": f"须有字段 {self.field} 来指明类型，可为：{listed_zh}"},
            )
        given = str(value[self.field])[:50]
        return PydanticCustomError(
            "kind_unknown",
            "has {given} in the field {field}, which must be one of {kinds}",
            {
                **listed,
                "given": repr(given),
                "words_zh": f"的字段 {self.field} 为 {given!r}，应为以下之一：{listed_zh}",
            },
        )


def members_of(union: Any) -> Iterator[type[BaseModel]]:
    """Yield the models of a union in their order, including those of unions inside it."""
    if isinstance(union, type) and issubclass(union, BaseModel):
        yield union
        return
    union = getattr(union, "__value__", union)  # a named alias contains the union
    for inner in get_args(union):
        named = hasattr(inner, "__value__")
        if named or get_origin(inner) in {Annotated, Union, UnionType} or isinstance(inner, type):
            yield from members_of(inner)


def kinds_of(union: Any, field: str) -> tuple[str, ...]:
    """Return the values of a field in the members of a union, in their order."""
    kinds: dict[str, None] = {}
    for member in members_of(union):
        kinds |= dict.fromkeys(map(str, get_args(member.model_fields[field].annotation)))
    return tuple(kinds)
