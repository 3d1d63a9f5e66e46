"""Tests of views, through which a domain reads a higher domain's columns without importing it."""

import ast
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

import aiplatform.server
from aiplatform.server.core.database import Base
from aiplatform.server.core.views import View
from aiplatform.server.projects.models import Project
from tests.factories import make_project

SERVER = Path(aiplatform.server.__path__[0])


def table_stubs() -> dict[str, str]:
    """Return the names of the tables that are declared without a class, keyed by file and line."""
    stubs = {}
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="table" | "TableClause") | ast.Attribute(attr="table"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    stubs[f"{path.relative_to(SERVER)}:{node.lineno}"] = name
    return stubs


def test_no_code_describes_a_table_again() -> None:
    # Database views, such as held_leases, have no class and may be declared.
    stubs = table_stubs().items()
    assert {place: name for place, name in stubs if name in Base.metadata.tables} == {}


def test_published_view_is_joined(session: Session) -> None:
    project = make_project(session)
    names = View("names", "id", "name")
    names.publish(select(Project.id, Project.name))
    found = select(Project.uuid).join(names.table, names.c.id == Project.id)
    assert session.scalars(found.where(names.c.name == project.name)).all() == [project.uuid]


def test_view_that_nobody_publishes_can_not_be_read() -> None:
    with pytest.raises(RuntimeError, match="nobody publishes names"):
        View("names", "id").table  # noqa: B018


def test_view_publishes_exactly_its_columns() -> None:
    with pytest.raises(AssertionError, match="names"):
        View("names", "id").publish(select(Project.id, Project.config))
