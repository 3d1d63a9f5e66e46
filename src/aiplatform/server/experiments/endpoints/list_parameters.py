"""Filter and sort parameters for the lists of experiments and runs."""

from difflib import get_close_matches
from typing import Annotated

from fastapi import Query
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from aiplatform.data.filters import (
    MAX_LENGTH,
    FilterError,
    Node,
    comparisons,
)
from aiplatform.server.core.filters import invalid
from aiplatform.server.experiments.queries import search
from aiplatform.server.experiments.queries.conditions import ROOTS, condition, shape, values
from aiplatform.server.experiments.queries.search import Order, read_order
from aiplatform.server.experiments.queries.subjects import Subject
from aiplatform.server.projects.access import ProjectContext

Filter = Annotated[
    str | None,
    Query(
        alias="filter",
        # The limit is high so that the filter's parser can explain what is wrong with a long
        # filter.
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


def read_sort(text: str | None) -> Order:
    """Return the sort order that a request specifies.

    Raises:
        FilterInvalid: the text is not a valid order.
    """
    try:
        return read_order(text)
    except FilterError as error:
        raise invalid(error, "order") from None


def conditions(subject: Subject, node: Node | None) -> search.Conditions:
    """Return the filter as SQL conditions; without a filter, no conditions.

    Raises:
        FilterInvalid: a value is not a valid time. The returned object raises it later for an
            unknown field, or for a comparison that a field does not support.
    """
    if node is None:
        return search.Conditions(lambda _: [])

    def of(searched: Subject) -> list[ColumnElement[bool]]:
        try:
            return [condition(searched, node)]
        except FilterError as error:
            raise invalid(error) from None

    try:
        named = values(subject, node)
    except FilterError as error:
        raise invalid(error) from None
    about_figures = any(one.field.root in ROOTS for one in comparisons(node))
    return search.Conditions(of, shape(node), named, about_figures)


def require_known_figures(
    session: Session, subject: Subject, context: ProjectContext, node: Node | None
) -> None:
    """Reject a filter on figures that no row in the project has. Call this for an empty result.

    Raises:
        FilterInvalid: the message names the figure, and existing ones with a similar name.
    """
    asked = list(comparisons(node)) if node is not None else []
    figures = [one for one in asked if one.field.root in ROOTS and "." in one.field.path]
    found = search.unknown_figure(session, subject, context, [one.field.path for one in figures])
    if found is None:
        return
    path, known = found
    position = next(one.field.position for one in figures if one.field.path == path)
    alike = get_close_matches(path, known, n=3) or known[:3]
    raise invalid(
        FilterError(
            f"nothing in this project has {path[:100]} yet; there are, for example, "
            f"{', '.join(name[:100] for name in alike)}",
            position,
        )
    )
