"""What lists of experiments and of runs are asked with."""

from typing import Annotated

from fastapi import Query
from sqlalchemy import ColumnElement

from aiplatform.server.experiments.errors import FilterInvalid
from aiplatform.server.experiments.queries import search
from aiplatform.server.experiments.queries.conditions import ROOTS, condition, shape, values
from aiplatform.server.experiments.queries.search import Order, read_order
from aiplatform.server.experiments.queries.subjects import Subject
from aiplatform.server.experiments.rules.filters import (
    MAX_LENGTH,
    FilterError,
    Node,
    comparisons,
    parse,
)

Filter = Annotated[
    str | None,
    Query(
        alias="filter",
        # A longer one is told what is wrong with it, in words.
        max_length=4 * MAX_LENGTH,
        description='such as `metrics.loss < 1.5 and config.lora.rank = 16 and tags has "prod"`',
    ),
]
Sort = Annotated[
    str | None,
    Query(
        max_length=310,
        description="`created`, `metrics.…` or `config.…`; a minus before it: the largest first",
    ),
]


def read_filter(text: str | None) -> Node | None:
    """The filter of a request.

    Raises:
        FilterInvalid: says what is wrong with it, and where.
    """
    if text is None:
        return None
    try:
        return parse(text)
    except FilterError as error:
        raise invalid(error) from None


def read_sort(text: str | None) -> Order:
    """The order of a request.

    Raises:
        FilterInvalid: when it is none.
    """
    try:
        return read_order(text)
    except FilterError as error:
        raise invalid(error, "order") from None


def conditions(subject: Subject, node: Node | None) -> search.Conditions:
    """The filter as SQL, or nothing.

    Raises:
        FilterInvalid: for a time that is none. What is returned raises it, too: for a field that
            does not exist, or a comparison that it does not have.
    """
    if node is None:
        return search.Conditions(lambda _: [])

    def of(those: Subject) -> list[ColumnElement[bool]]:
        try:
            return [condition(those, node)]
        except FilterError as error:
            raise invalid(error) from None

    try:
        named = values(subject, node)
    except FilterError as error:
        raise invalid(error) from None
    asks_figures = any(one.field.root in ROOTS for one in comparisons(node))
    return search.Conditions(of, shape(node), named, asks_figures)


def invalid(error: FilterError, what: str = "filter") -> FilterInvalid:
    """The problem that goes out."""
    return FilterInvalid(what=what, reason=error.reason, position=error.position)
