"""Tests of how resources and lists are represented in shells and notebooks."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import httpx
import pytest
from rich.pretty import pretty_repr

from aiplatform.client import Client, Dataset, Model, Pages, Resource, Task
from aiplatform.protocol.shapes.identity import UserRef
from tests.client.fake import FakeServer, malformed, page
from tests.openapi_checks import Description, Partial
from tests.surface.recorder import classes

U = UUID(int=5)
HOSTILE = "<script>alert(1)</script>\"'&\n\x1b[31m\u202e$\\href{javascript:alert(1)}{x}$"
KINDS = [kind for kind in classes() if issubclass(kind, Resource) and kind is not Resource]
SECRET = re.compile("secret|token|link|uri|password|codes|^key$")


class Tags(HTMLParser):
    """A parser that collects a page's tags and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


TABLE = {"table", "caption", "thead", "tr", "th", "td", "i"}


def sample(kind: type[Resource]) -> Resource:
    """Return a resource whose texts are all hostile."""
    schema = kind.model_json_schema()
    document = {"paths": {}, "components": {"schemas": _referring(schema.get("$defs", {}))}}
    return kind.model_validate(_hostile(Description(document).sample(_referring(schema))))


def _referring(schema: Any) -> Any:
    """Return a schema whose references have the form used in an API document."""
    if isinstance(schema, dict):
        return {
            name: value.replace("#/$defs/", "#/components/schemas/")
            if name == "$ref"
            else _referring(value)
            for name, value in schema.items()
        }
    return [_referring(item) for item in schema] if isinstance(schema, list) else schema


def _hostile(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hostile(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_hostile(part) for part in value]
    return HOSTILE if value == "text" else value


CREATED = datetime(2026, 1, 2, tzinfo=UTC)


def dataset_named(name: str, **fields: Any) -> Dataset:
    facts = {"uuid": U, "name": name, "created_at": CREATED, "updated_at": CREATED}
    return Dataset.read_answer({"version": "v1", "status": "uploaded", **facts, **fields})


def task_named(name: str, **fields: Any) -> Task:
    facts = {"uuid": U, "name": name, "queue": "default", "created_at": CREATED}
    return Task.read_answer({"type": "training", **facts, **fields})


def model_named(name: str, **fields: Any) -> Model:
    facts = {"uuid": U, "name": name, "created_at": CREATED}
    return Model.read_answer({"status": "ready", "kind": "language_model", **facts, **fields})


def test_repr_of_a_dataset_shows_name_version_and_rows() -> None:
    dataset = dataset_named(
        "questions", version="v3", status="ready", row_count=1204,
        quality_report={"findings": [{"check": "roles"}] * 50},
    )  # fmt: skip
    assert repr(dataset) == str(dataset) == "Dataset('questions', v3, 1204 rows)"
    assert pretty_repr(dataset) == "Dataset('questions', v3, 1204 rows)"


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        (model_named("tiny", version="2", status="failed"),
         "Model('tiny', language_model, version 2, failed)"),
        (task_named("first", status="running", progress=0.45),
         "Task('first', training, running, 45%)"),
        (task_named("first", status="completed", progress=1.0),
         "Task('first', training, completed)"),
        (dataset_named("one", status="processing", row_count=1),
         "Dataset('one', v1, processing, 1 row)"),
        (dataset_named("n" * 90), f"Dataset('{'n' * 59}…', v1, uploaded, 0 rows)"),
    ],
)  # fmt: skip
def test_repr_shows_name_and_state(resource: Resource, text: str) -> None:
    assert repr(resource) == text


@pytest.mark.parametrize("kind", KINDS)
def test_every_resource_has_a_short_repr_and_an_escaped_table(kind: type[Resource]) -> None:
    resource = sample(kind)
    text = repr(resource)
    assert text.isprintable()
    assert text.startswith(f"{kind.__name__}(")
    assert len(text) <= 240
    assert str(resource) == text
    shown = Tags(resource._repr_html_())
    assert shown.found <= TABLE
    assert "tex2jax_ignore" in resource._repr_html_()
    assert "\x1b" not in shown.text
    assert "\u202e" not in shown.text


@pytest.mark.parametrize("kind", KINDS)
def test_secret_fields_are_declared_without_repr(kind: type[Resource]) -> None:
    secrets = [
        name
        for name, field in kind.model_fields.items()
        if SECRET.search(name) and field.annotation in (str, str | None)
    ]
    shown = [name for name in secrets if kind.model_fields[name].repr]
    assert not shown, "declare these with Field(repr=False)"


def test_fields_of_a_newer_server_are_not_shown() -> None:
    model = model_named("m", password="hidden-one")
    assert "hidden-one" not in repr(model) + model._repr_html_()


def test_html_of_a_resource_is_escaped() -> None:
    author = UserRef(uuid=U, username="<b>ann</b>")
    model = model_named("<script>alert(1)</script>", version="1", author=author)
    html = model._repr_html_()
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;b&gt;ann&lt;/b&gt;" in html
    assert "2026-01-02 00:00:00+00:00" in html


def test_list_is_shown_as_lines_or_rows(client: Client, server: FakeServer) -> None:
    server.on(
        "GET projects",
        page(*(Partial({"uuid": str(UUID(int=n)), "name": f"<script>{n}"}) for n in range(3))),
    )
    listed = client.projects.list()
    assert repr(listed) == (
        "[Project('<script>0'),\n Project('<script>1'),\n Project('<script>2')]"
    )
    html = listed._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;2" in html
    assert "<th" in html
    assert repr(listed.all()) == repr(listed)
    assert listed.take(2)._repr_html_().count("<tr>") == 3  # type: ignore[attr-defined]


def numbers(count: int) -> Pages[int]:
    return Pages(lambda _, size: {"items": range(min(size, count)), "next_cursor": None}, int)


def test_long_list_is_shortened() -> None:
    assert repr(numbers(20)).count("\n") == 19
    assert repr(numbers(21)).endswith(",\n 19,\n ...]")
    assert numbers(51)._repr_html_().count("<tr>") == 52
    assert "…" in numbers(51)._repr_html_()
    assert repr(numbers(0)) == "[]"
    assert "empty" in numbers(0)._repr_html_()


def test_rows_of_a_dataset_are_shown_as_a_table() -> None:
    row = {"<i>": "<script>x", "label": 1, "messages": [{"role": "user"}]}
    rows = Pages(lambda _, size: {"items": [row, {}], "next_cursor": None}, dict)
    html = rows._repr_html_()
    assert "<script" not in html
    assert "&lt;i&gt;" in html
    assert Tags(html).found == {"table", "thead", "tr", "th", "td"}


def test_list_that_cannot_be_read_shows_the_error(client: Client, server: FakeServer) -> None:
    fault = httpx.Response(500, text="<script>")
    server.on("GET projects", malformed("a page of a proxy", fault))
    listed = client.projects.list()
    assert repr(listed).startswith("<Pages: ")
    assert "<" not in listed._repr_html_()
