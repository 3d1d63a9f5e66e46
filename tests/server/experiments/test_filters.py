"""Tests of the filter language: parsing, errors with positions, and SQL with bound parameters."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from aiplatform.data.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_VALUES,
    AllOf,
    AnyOf,
    Comparison,
    FilterError,
    Node,
    Not,
    comparisons,
    parse,
)
from aiplatform.server.core.filters import FilterInvalid
from aiplatform.server.core.statements import compiled
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.endpoints.experiments import conditions
from aiplatform.server.experiments.queries import search
from aiplatform.server.experiments.queries.search import (
    EXPERIMENTS,
    RUNS,
    Subject,
    condition,
    shape,
)
from tests.factories import make_context, make_project


def found(text: str) -> list[tuple[str, str, tuple[object, ...]]]:
    return [(one.field.path, one.operator, one.values) for one in comparisons(parse(text))]


def test_parse_reads_documented_examples() -> None:
    assert found('metrics.loss < 1.5 and config.lora.rank = 16 and tags has "prod"') == [
        ("metrics.loss", "<", (1.5,)),
        ("config.lora.rank", "=", (16.0,)),
        ("tags", "has", ("prod",)),
    ]
    assert found("metrics.`exact match` == -1e-3") == [("metrics.exact match", "=", (-0.001,))]
    assert found("name IN ('it\\'s', \"b\")") == [("name", "in", ("it's", "b"))]
    assert found('config.packing = TRUE or name contains "x"')[0][2] == (True,)


def test_parse_precedence_is_not_and_or() -> None:
    tree = parse("not a = 1 and b = 2 or c = 3")
    assert isinstance(tree, AnyOf)
    both, last = tree.parts
    assert isinstance(both, AllOf)
    assert isinstance(both.parts[0], Not)
    assert isinstance(last, Comparison)
    assert last.field.path == "c"


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 1, "empty"),
        ("a =", 4, "too early"),
        ("a = 1 b", 7, "expected and, or or the end"),
        ("a ! 1", 3, "a comparison"),
        ("(a = 1", 7, "a closing parenthesis"),
        ('a = "open', 5, "not closed"),
        ("a = 1.2.3", 5, "number"),
        ("a = 1; drop table tasks", 6, "not expected"),
        ("(" * (MAX_DEPTH + 1) + "a = 1" + ")" * (MAX_DEPTH + 1), MAX_DEPTH + 1, "nested"),
        ("not " * 400 + "a = 1", 4 * MAX_DEPTH + 1, "nested"),
        ("a" * (MAX_LENGTH + 1), MAX_LENGTH + 1, "characters"),
        (" or ".join(["a=1"] * (MAX_COMPARISONS + 1)), 7 * MAX_COMPARISONS + 1, "comparisons"),
        (f"a in ({','.join(['1'] * (MAX_VALUES + 1))})", 1, "values"),
        ("a = \x001", 5, "NUL"),
    ],
)
def test_parse_error_has_reason_and_position(text: str, position: int, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert said in caught.value.reason
    assert caught.value.position == position


def test_parse_many_nots_side_by_side_is_accepted() -> None:
    assert len(found(" and ".join(["not a = 1"] * 40))) == 40


WORDS = st.sampled_from(
    ["metrics.loss", "config.a.b", "name", "tags", "created", "(", ")", "and", "or", "not", "in",
     "has", "contains", "=", "!=", "<", ">=", "1", "-2.5e3", '"x"', "'; drop table users --'",
     "true", "nan", ",", '"\\""', "`", "metrics.`a'b`", "--", "/*", ";", "%s", ":x", "\\"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map(" ".join))


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_parse_any_text_succeeds_or_raises_filter_error(text: str) -> None:
    refused = None
    try:
        parse(text)
    except FilterError as error:
        refused = error
    if refused is not None:
        assert refused.reason
        assert 1 <= refused.position <= len(text) + 1


def test_search_passes_filter_values_as_parameters(session: Session) -> None:
    context = make_context(session, make_project(session))
    evil = "x'; DROP TABLE experiment_tags; --"

    def page(subject: Subject, node: Node, order: search.Order) -> list[Any]:
        shown = queries.experiments_by_key() if subject is EXPERIMENTS else queries.runs_by_key()
        rows, _ = search.page(
            session, subject, context, shown, conditions(subject, node),
            order, limit=5, cursor=None,
        )  # fmt: skip
        return list(rows)

    @given(
        TEXTS,
        st.sampled_from([EXPERIMENTS, RUNS]),
        st.sampled_from([search.Order(), search.Order("metrics.loss")]),
    )
    @settings(max_examples=150, deadline=None)
    def ask(text: str, subject: Subject, order: search.Order) -> None:
        with contextlib.suppress(FilterError, FilterInvalid):
            page(subject, parse(text), order)

    ask()
    for field in ("name", f"metrics.`{evil}`", "config.x"):
        node = parse(f'{field} = "{evil}" or {field} contains "%_{evil}" or tags has "{evil}"')
        meets = condition(EXPERIMENTS, node)
        sql = str(meets.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert "DROP" not in sql
        assert page(EXPERIMENTS, node, search.Order()) == []


COMPARED = st.builds(
    "{}{} {} {}".format,
    st.sampled_from(["", "not "]),
    st.sampled_from(["metrics.a", "config.b.c", "name", "status", "archived", "created"]),
    st.sampled_from(["=", "!=", "<", ">", "contains"]),
    st.sampled_from(["1", "-2.5", "nan", "true", "false", '"x"', '"y%"', '"2026-11-24"']),
)
FILTERS = st.builds(
    lambda parts, word: f" {word} ".join(parts),
    st.lists(COMPARED, min_size=1, max_size=2),
    st.sampled_from(["and", "or"]),
)


def sql_of(subject: Subject, node: Node) -> str:
    return compiled(select(subject.key).where(condition(subject, node))).text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("metrics.loss < 1", "config.lora.rank   < -2.5e3"),
        ('metrics.a = "x" and name contains "%"', 'metrics.b = "yyy" and name contains "_a"'),
        ("not (config.a in (1, 2) or config.b = nan)", "not (config.c in (3,4) or config.d = nan)"),
        ('created > "2026-11-24"', 'created > "2025-01-01T16:00:00Z"'),
    ],
)
def test_shape_of_filters_with_other_values_is_equal(one: str, other: str) -> None:
    assert shape(parse(one)) == shape(parse(other))
    assert sql_of(RUNS, parse(one)) == sql_of(RUNS, parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("metrics.a < 1", "metrics.a <= 1"),
        ("metrics.a < 1", "metrics.a < nan"),
        ("metrics.a = 1", 'metrics.a = "1"'),
        ("metrics.a in (1, 2)", "metrics.a in (1, 2, 3)"),
        ("archived = true", "archived = false"),
        ('name = "a"', 'status = "a"'),
        ("metrics.a = 1 and metrics.b = 1", "metrics.a = 1 or metrics.b = 1"),
        ("metrics.a = 1", "not metrics.a = 1"),
    ],
)
def test_shape_of_different_filters_differs(one: str, other: str) -> None:
    assert sql_of(EXPERIMENTS, parse(one)) != sql_of(EXPERIMENTS, parse(other))
    assert shape(parse(one)) != shape(parse(other))


def test_sql_depends_only_on_shape() -> None:
    known: dict[Any, str] = {}

    @given(FILTERS, st.sampled_from([EXPERIMENTS, RUNS]))
    @settings(max_examples=400, deadline=None)
    def look(text: str, subject: Subject) -> None:
        try:
            node = parse(text)
            sql = sql_of(subject, node)
        except FilterError:
            return
        assert known.setdefault((subject, shape(node)), sql) == sql

    look()
    assert len(known) > 20
