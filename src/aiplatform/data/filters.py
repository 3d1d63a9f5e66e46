"""Parser of the filter language for rows, runs, experiments and the audit trail.

::

    metrics.loss < 1.5 and config.lora.rank = 16 and tags has "prod"

An expression is made of comparisons with ``and``, ``or``, ``not`` and parentheses; ``not`` binds
tightest, ``or`` loosest. A comparison is ``field operator value`` with ``=``, ``!=``, ``<``,
``<=``, ``>``, ``>=``, ``contains`` (text, ignoring case), ``in (value, …)``, or ``tags has "tag"``;
``field present`` and ``field missing`` take no value. Values are numbers, ``true``, ``false``,
``nan``, and text in single or double quotes. A part of a path with characters other than letters,
digits, ``_``, ``-``, ``/``, ``@`` and ``:`` is written in backticks: ``metrics.`exact match```.

A missing value meets no comparison, not even ``!=``; ``not`` inverts the result. NaN equals itself,
and is neither greater nor less than any value. The fields depend on where the language is used; see
docs/filters.md.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

MAX_LENGTH = 2000
"""Largest number of characters in a filter."""
MAX_DEPTH = 20
"""Largest depth of nested parentheses and ``not``."""
MAX_COMPARISONS = 50
MAX_VALUES = 100
"""Largest number of values in a single ``in``."""

EXACT_DIGITS = 19
"""Largest number of digits of an exact integer.

Longer integers are read as double precision numbers.
"""

Value = int | float | str | bool

GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: unit (_AND unit)*
?unit: _NOT unit -> negated
     | "(" either ")"
     | field OPERATOR value -> compared
     | field _CONTAINS STRING -> contains
     | field (_NOT_CONTAINS | _NOT _CONTAINS) STRING -> not_contains
     | field _IN list -> one_of
     | field (_NOT_IN | _NOT _IN) list -> not_one_of
     | field _HAS STRING -> has
     | field _PRESENT -> present
     | field _MISSING -> missing
     | field LENGTH NUMBER -> length
?list: "(" value ("," value)* ")" -> values
     | "[" value ("," value)* "]" -> values
field: FIELD | STRING
value: NUMBER | STRING | WORD

_OR.3: /or\b/i
_AND.3: /and\b/i
_NOT.3: /not\b/i
_IN.3: /in\b/i
_HAS.3: /has\b/i
_CONTAINS.3: /contains\b/i
_NOT_IN.3: /not_in\b/i
_NOT_CONTAINS.3: /not_contains\b/i
_PRESENT.3: /present\b/i
_MISSING.3: /missing\b/i
LENGTH.3: /(min_length|max_length)\b/i
WORD.2: /(true|false|nan|-?inf)\b/i
NUMBER: /[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?![\w.])/i
OPERATOR: /<=|>=|!=|==|=|<|>/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
FIELD: /([^\W\d][\w-]*|`[^`]+`)(\.([\w\/@:-]+|`[^`]+`))*/
%ignore /\s+/
"""

_NAMES = {
    "FIELD": "a field",
    "OPERATOR": "a comparison (=, !=, <, <=, >, >=)",
    "STRING": 'text in "quotes"',
    "NUMBER": "a number",
    "WORD": "true or false",
    "_OR": "or",
    "_AND": "and",
    "_NOT": "not",
    "_IN": "in",
    "_HAS": "has",
    "_CONTAINS": "contains",
    "_NOT_IN": "not in",
    "_NOT_CONTAINS": "not contains",
    "_PRESENT": "present",
    "_MISSING": "missing",
    "LENGTH": "min_length or max_length",
    "LSQB": "an opening bracket",
    "RSQB": "a closing bracket",
    "LPAR": "an opening parenthesis",
    "RPAR": "a closing parenthesis",
    "COMMA": "a comma",
    "$END": "the end",
}


class FilterError(Exception):
    """The text is not a valid filter; ``position`` counts characters from 1."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} (at character {position})")
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Field:
    """A field in a filter, such as ``metrics.eval_loss`` or ``name``."""

    path: str
    position: int

    @property
    def root(self) -> str:
        """The path up to the first dot: ``metrics`` for ``metrics.eval_loss``."""
        return self.path.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test of one field.

    Attributes:
        field: The field.
        operator: ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``contains``, ``in``, ``has``,
            ``present``, ``min_length`` or ``max_length``.
        values: One value; for ``in`` one or more, for ``present`` none.
    """

    field: Field
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The negation of ``part``."""

    part: "Node"


@dataclass(frozen=True, slots=True)
class AllOf:
    """The conjunction (``and``) of ``parts``."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The disjunction (``or``) of ``parts``."""

    parts: tuple["Node", ...]


Node = Comparison | Not | AllOf | AnyOf


class _Tree(Transformer[Token, Node]):
    """Converter from lark's tree to the nodes of this module."""

    def compared(self, found: list[Any]) -> Node:
        operator = "=" if found[1] == "==" else str(found[1])
        return Comparison(_field(found[0]), operator, (found[2],))

    def contains(self, found: list[Any]) -> Node:
        return Comparison(_field(found[0]), "contains", (_unquoted(found[1]),))

    def not_contains(self, found: list[Any]) -> Node:
        return Not(self.contains(found))

    def values(self, found: list[Any]) -> list[Any]:
        return found

    def field(self, found: list[Any]) -> Token:
        token: Token = found[0]
        return token

    def present(self, found: list[Any]) -> Node:
        return Comparison(_field(found[0]), "present", ())

    def missing(self, found: list[Any]) -> Node:
        return Not(self.present(found))

    def length(self, found: list[Any]) -> Node:
        value = float(found[2])
        return Comparison(
            _field(found[0]), str(found[1]).lower(), (int(value) if value.is_integer() else value,)
        )

    def has(self, found: list[Any]) -> Node:
        return Comparison(_field(found[0]), "has", (_unquoted(found[1]),))

    def one_of(self, found: list[Any]) -> Node:
        return Comparison(_field(found[0]), "in", tuple(found[1]))

    def not_one_of(self, found: list[Any]) -> Node:
        return Not(self.one_of(found))

    def negated(self, found: list[Any]) -> Node:
        return Not(found[0])

    def both(self, found: list[Any]) -> Node:
        return AllOf(tuple(found))

    def either(self, found: list[Any]) -> Node:
        return AnyOf(tuple(found))

    def value(self, found: list[Any]) -> Value:
        token = found[0]
        match token.type:
            case "NUMBER":
                is_exact = token.lstrip("+-").isdigit() and len(token) <= EXACT_DIGITS
                return int(token) if is_exact else float(token)
            case "WORD":
                word = token.lower()
                return float(word) if word.endswith(("nan", "inf")) else word == "true"
        return _unquoted(token)


def _field(token: Token) -> Field:
    if token.type == "STRING":
        return Field(_unquoted(token), (token.start_pos or 0) + 1)
    path = re.sub(r"`([^`]+)`", r"\1", str(token))
    return Field(path, (token.start_pos or 0) + 1)


def _unquoted(token: Token) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def parse(text: str) -> Node:
    """Parse a filter.

    Raises:
        FilterError: the filter is not valid; the error gives the reason and the position.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH} characters", MAX_LENGTH + 1)
    if not text.strip():
        raise FilterError("the filter is empty", 1)
    if "\x00" in text:
        raise FilterError("a filter has no NUL", text.index("\x00") + 1)
    try:
        _require_shallow(text)
        tree = _parser().parse(text)
        node: Node = _Tree().transform(tree)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    except VisitError as error:
        raise FilterError(str(error.orig_exc), 1) from error
    _require_small(node)
    return node


_NESTING = re.compile(
    r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`|[()]|\b(?:not|and|or)\b",
    re.IGNORECASE | re.DOTALL,
)


def _require_shallow(text: str) -> None:
    """Raise ``FilterError`` if the text is nested too deeply.

    This runs before the parser, which recurses.
    """
    depth = nots = 0
    for found in _NESTING.finditer(text):
        match found.group().lower():
            case "(":
                depth += 1
            case ")":
                depth, nots = depth - 1, 0
            case "not":
                nots += 1
            case "and" | "or":
                nots = 0
        if depth + nots > MAX_DEPTH:
            raise FilterError(f"it is nested more than {MAX_DEPTH} deep", found.start() + 1)


def _require_small(node: Node) -> None:
    found = list(comparisons(node))
    if len(found) > MAX_COMPARISONS:
        raise FilterError(
            f"a filter has at most {MAX_COMPARISONS} comparisons",
            found[MAX_COMPARISONS].field.position,
        )
    for one in found:
        if len(one.values) > MAX_VALUES:
            raise FilterError(f"`in` has at most {MAX_VALUES} values", one.field.position)


def comparisons(node: Node) -> list[Comparison]:
    """Return all comparisons of a tree, from left to right."""
    match node:
        case Comparison():
            return [node]
        case Not(part):
            return comparisons(part)
        case AllOf(parts) | AnyOf(parts):
            return [found for part in parts for found in comparisons(part)]


def _explained(error: UnexpectedInput, text: str) -> FilterError:
    position = len(text) + 1
    expected: set[str] = set()
    found = ""
    if isinstance(error, UnexpectedCharacters):
        position = (error.pos_in_stream or 0) + 1
        if error.char in "\"'`":
            return FilterError("the text that begins here is not closed", position)
        expected = set(error.allowed or ())
        found = f"{error.char!r} is not expected"
    elif isinstance(error, UnexpectedToken):
        if error.token.type == "$END":
            found = "it ends too early"
        else:
            position = (error.token.start_pos or 0) + 1
            found = f"{str(error.token)[:40]!r} is not expected"
        expected = set(error.accepts or error.expected or ())
    names = sorted({_NAMES.get(name, name) for name in expected})
    hint = f"; expected {_listed(names)}" if names else ""
    return FilterError(f"{found}{hint}", position)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def fold(
    node: Node,
    *,
    comparison: Callable[[Comparison], Any],
    inverse: Callable[[Any], Any],
    every: Callable[[list[Any]], Any],
    some: Callable[[list[Any]], Any],
) -> Any:
    """Convert a tree bottom-up with one function for each kind of node.

    Args:
        node: The tree.
        comparison: Converts a comparison.
        inverse: Converts ``not``; gets the converted part.
        every: Converts ``and``; gets the converted parts.
        some: Converts ``or``; gets the converted parts.
    """

    def walk(part: Node) -> Any:
        match part:
            case Comparison():
                return comparison(part)
            case Not(inner):
                return inverse(walk(inner))
            case AllOf(parts):
                return every([walk(inner) for inner in parts])
            case AnyOf(parts):
                return some([walk(inner) for inner in parts])

    return walk(node)
