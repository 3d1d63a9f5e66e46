"""Tests of lists, names and updates, which all groups of the SDK share."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import ValidationError

from aiplatform.client import (
    AmbiguousName,
    Client,
    NotFound,
    NotReady,
    PreconditionFailed,
    SftSpec,
    UnexpectedAnswer,
)
from tests.client.fake import FakeServer, answer, malformed, page, problem
from tests.openapi_checks import Partial

P, D, M = (UUID(int=n) for n in (1, 2, 3))


def project(name: str = "demo", uuid: UUID = P, **more: Any) -> Partial:
    return Partial({"uuid": str(uuid), "name": name, "status": "active", **more})


def model(name: str, version: str, status: str = "ready", **more: Any) -> Partial:
    members = {"uuid": str(uuid4()), "name": name, "version": version, "status": status}
    return Partial({**members, **more})


def test_list_fetches_pages_on_demand(client: Client, server: FakeServer) -> None:
    server.on(
        "GET projects",
        page(project("a"), project("b"), next_cursor="n"),
        page(project("c"), next_cursor=None),
    )
    items = iter(client.projects.list())
    assert [next(items).name, next(items).name] == ["a", "b"]
    assert server.count("GET projects") == 1
    assert next(items).name == "c"
    assert server.requests[1].url.params["cursor"] == "n"
    assert next(items, None) is None
    assert server.count("GET projects") == 2


def test_first_and_take_fetch_only_what_they_need(client: Client, server: FakeServer) -> None:
    server.on("GET projects", page(project("a"), next_cursor="n"))
    found = client.projects.list().first()
    assert found is not None
    assert found.name == "a"
    assert server.requests[0].url.params["limit"] == "1"
    assert len(client.projects.list().take(1)) == 1
    assert server.count("GET projects") == 2


def test_list_with_a_repeated_cursor_raises_an_error(client: Client, server: FakeServer) -> None:
    server.on("GET projects", page(project(), next_cursor="same"))
    with pytest.raises(UnexpectedAnswer, match="same page of a list twice"):
        client.projects.list().all()


def test_unknown_fields_of_newer_servers_are_kept(client: Client, server: FakeServer) -> None:
    newer = malformed("a newer server", answer(project(colour="blue"), ETag='"1"'))
    server.on(f"GET projects/{P}", newer)
    assert client.projects.get(P).colour == "blue"  # type: ignore[attr-defined]


def test_project_is_found_by_name(client: Client, server: FakeServer) -> None:
    server.on("GET projects", page(project("demo-2", uuid4()), project("demo")))
    server.on(f"GET projects/{P}", answer(project()))
    assert client.projects.get("demo").uuid == P
    with pytest.raises(NotFound, match="no project of yours is named dmo") as caught:
        client.projects.get("dmo")
    assert "demo, demo-2" in caught.value.hint
    server.on("GET projects", page(), page(project("demo")))  # a filter without results
    with pytest.raises(NotFound) as caught:
        client.projects.get("dmo")
    assert "There are: demo." in caught.value.hint


def test_ambiguous_name_is_refused(client: Client, server: FakeServer) -> None:
    other = uuid4()
    server.on("GET projects", page(project("demo"), project("demo", other)))
    with pytest.raises(AmbiguousName, match="several projects") as caught:
        client.projects.resolve("demo")
    assert str(other) in caught.value.hint


def test_only_project_is_used_if_none_is_named(client: Client, server: FakeServer) -> None:
    server.on("GET projects", page(project()))
    assert client.projects.resolve(None) == P
    server.on("GET projects", page(project("a"), project("b", uuid4())))
    with pytest.raises(AmbiguousName) as caught:
        client.projects.resolve(None)
    assert "--project" in caught.value.hint
    assert "a, b" in caught.value.hint
    server.on("GET projects", page())
    with pytest.raises(AmbiguousName, match="no project yet"):
        client.projects.resolve(None)


def test_default_project_is_that_of_the_client(server: FakeServer, monkeypatch: Any) -> None:
    server.on("GET projects", page(project("a", uuid4()), project()))
    monkeypatch.setenv("AIPLATFORM_PROJECT", "demo")
    client = Client("http://platform.test", token="t", transport=server)
    assert client.projects.resolve(None) == P


def test_update_sends_the_etag_that_was_read(client: Client, server: FakeServer) -> None:
    server.on(f"GET projects/{P}", answer(project(), etag='"v1"'))
    server.on(f"PATCH projects/{P}", answer(project(description="new"), etag='"v2"'))
    changed = client.projects.get(P).update(description="new")
    assert server.requests[-1].headers["if-match"] == '"v1"'
    assert json.loads(server.bodies[-1]) == {"description": "new"}
    assert changed.etag == '"v2"'
    changed.update(description="newer")
    assert server.requests[-1].headers["if-match"] == '"v2"'


def test_update_after_a_change_by_others_is_refused(client: Client, server: FakeServer) -> None:
    server.on(f"GET projects/{P}", answer(project(), etag='"v1"'))
    server.on(f"PATCH projects/{P}", problem(412, "changed", "Changed meanwhile."))
    with pytest.raises(PreconditionFailed):
        client.projects.get(P).update(description="new")


def test_update_of_a_list_item_reads_it_first(client: Client, server: FakeServer) -> None:
    early, late = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"
    server.on("GET projects", page(project(updated_at=early)))
    server.on(f"GET projects/{P}", answer(project(updated_at=early), etag='"v1"'))
    server.on(f"PATCH projects/{P}", answer(project(), etag='"v2"'))
    client.projects.list().all()[0].update(description="new")
    assert server.requests[-1].headers["if-match"] == '"v1"'

    server.on(f"GET projects/{P}", answer(project(updated_at=late), etag='"v9"'))
    with pytest.raises(PreconditionFailed, match="after you read it"):
        client.projects.list().all()[0].update(description="new")
    assert server.count(f"PATCH projects/{P}") == 1


def test_model_is_found_by_name_and_version(client: Client, server: FakeServer) -> None:
    versions = [model("tuned", "9"), model("tuned", "10"), model("tuned", "11", "failed")]
    server.on(f"GET projects/{P}/models", page(*versions, model("tuned-2", "99")))
    assert client.models.resolve("tuned", P) == UUID(versions[1]["uuid"])
    assert client.models.resolve("tuned@9", P) == UUID(versions[0]["uuid"])
    assert client.models.resolve("tuned@11", P) == UUID(versions[2]["uuid"])


def test_shared_models_are_found_but_not_those_of_other_projects(
    client: Client, server: FakeServer
) -> None:
    shared = model("base", "1", project=None)
    server.on(f"GET projects/{P}/models", page())
    server.on("GET models", page(model("base", "2", project=str(uuid4())), shared))
    assert client.models.resolve("base", P) == UUID(shared["uuid"])
    with pytest.raises(NotFound, match="is named base@2"):
        client.models.resolve("base@2", P)


def test_change_of_a_version_sends_it_as_parent(client: Client, server: FakeServer) -> None:
    version = Partial({"uuid": str(M), "dataset": str(D), "version": "v1"})
    server.on(f"GET datasets/{D}/versions/v1", answer(version))
    server.on(f"POST datasets/{D}/versions", answer(version | {"version": "v3"}, 201))
    server.on(f"POST datasets/{D}/patch", answer(version | {"version": "v3"}, 201))
    read = client.datasets.version(f"{D}@v1")
    client.datasets.append(read, b"{}")
    assert server.requests[-1].url.params["parent"] == "v1"
    client.datasets.patch(read, delete=[0])
    assert json.loads(server.bodies[-1])["parent"] == "v1"
    client.datasets.patch(read, delete=[0], parent="best")
    assert json.loads(server.bodies[-1])["parent"] == "best"
    for whole in (read, f"{D}@v1"):
        with pytest.raises(ValueError, match="delete_version"):
            client.datasets.delete(whole)


def test_experiment_is_created_by_names(client: Client, server: FakeServer) -> None:
    base = model("base", "1")
    server.on("GET projects", page(project()))
    server.on(f"GET projects/{P}/models", page(base))
    server.on(f"GET projects/{P}/datasets", page(Partial({"uuid": str(D), "name": "faq"})))
    server.on(f"POST projects/{P}/experiments", answer(Partial({"uuid": str(M), "name": "x"}), 201))
    client.experiments.create(
        "x", project="demo", base_model="base", dataset="faq@v3", max_steps=60, lora={"rank": 4}
    )
    sent = json.loads(server.bodies[-1])
    assert sent["name"] == "x"
    assert sent["task_type"] == "sft"
    spec = SftSpec.model_validate(sent["config"])
    assert str(spec.base_model) == base["uuid"]
    assert spec.dataset.dataset == D
    assert spec.dataset.version == "v3"
    assert (spec.max_steps, spec.lora.rank) == (60, 4)


def test_misspelt_hyperparameter_is_refused_without_a_request(client: Client) -> None:
    with pytest.raises(ValidationError, match="learning_rat"):
        client.experiments.create("x", base_model=M, dataset=D, project=P, learning_rat=1e-4)


def test_wait_ready_returns_or_raises_by_status(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    def head(status: str) -> httpx.Response:
        return answer(Partial({"uuid": str(D), "name": "faq", "version": "v1", "status": status}))

    server.on(f"GET datasets/{D}", head("processing"), head("processing"), head("ready"))
    assert client.datasets.wait_ready(D).status == "ready"
    server.on(f"GET datasets/{D}", head("failed"))
    with pytest.raises(NotReady, match="faq v1 could not be made"):
        client.datasets.wait_ready(D)
    # After a cancelled report, the dataset has the same status as after an upload.
    server.on(f"GET datasets/{D}", head("processing"), head("uploaded"))
    with pytest.raises(NotReady, match="cancelled") as refused:
        client.datasets.wait_ready(D, timeout=5)
    assert "aiplatform datasets check faq" in refused.value.hint


def test_rows_with_places(client: Client, server: FakeServer) -> None:
    pages = [
        answer({"items": [{"a": 1}], "places": [17], "next_cursor": "x"}),
        answer({"items": [{"a": 2}], "places": [40], "next_cursor": None}),
    ]
    server.on(f"GET datasets/{D}/versions/v1/rows", *pages)
    found = client.datasets.rows(D, "v1", search="x", places=True).all()
    assert found == [(17, {"a": 1}), (40, {"a": 2})]
    assert (found[1].place, found[1].row) == (40, {"a": 2})
    server.on(f"GET datasets/{D}/versions/v1/rows", *pages)
    assert client.datasets.rows(D, "v1").all() == [{"a": 1}, {"a": 2}]
    server.on(f"GET datasets/{D}/versions/v1/rows", pages[1])
    assert client.datasets.sample(D, 1, version="v1", places=True) == [(40, {"a": 2})]
    assert client.datasets.sample(D, 1, version="v1") == [{"a": 2}]
    server.on(
        f"GET datasets/{D}/versions/v1/rows", answer(Partial({"items": [{"a": 1}], "places": []}))
    )
    with pytest.raises(UnexpectedAnswer, match="without their positions"):
        client.datasets.rows(D, "v1", places=True).all()


def test_wait_ready_for_a_crashed_deployment_raises(client: Client, server: FakeServer) -> None:
    down = Partial({"uuid": str(D), "name": "bot", "status": "crashed", "error": "out of memory"})
    server.on(f"GET deployments/{D}", answer(down))
    with pytest.raises(NotReady, match="bot is crashed: out of memory"):
        client.deployments.wait_ready(D)
