"""Tests of traces, which extend from the request to the phases of the task's runtime."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import structlog
from sqlalchemy.orm import Session

from aiplatform.server.core import tracing
from aiplatform.server.core.database import commit
from aiplatform.server.core.logging import configure_logging
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Prepared
from tests.collector import Collector, collector
from tests.conftest import environment
from tests.factories import make_token
from tests.openapi_checks import CheckedClient
from tests.server.queue.conftest import NOWHERE

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@pytest.fixture
def collected(database_url: str) -> Iterator[Collector]:
    """Start a trace collector and send this process's traces to it."""
    with collector() as found:
        with environment(
            AIPLATFORM_TRACES="true", AIPLATFORM_LOG_JSON="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=found.endpoint,
        ):  # fmt: skip
            yield found
            tracing.stop()
        structlog.reset_defaults()
        configure_logging(get_settings())


@pytest.fixture
def traced_client(collected: Collector) -> Iterator[CheckedClient]:
    from aiplatform.server.app import create_app

    with CheckedClient(create_app(), base_url="http://127.0.0.1:8400") as client:
        yield client


@pytest.fixture
def ask(
    traced_client: CheckedClient, session: Session, project: Project, kind: Any,
    monkeypatch: pytest.MonkeyPatch, home: Path,
) -> Callable[[str], str]:  # fmt: skip
    """Return a function that submits a task in the caller's trace and returns its uuid."""
    monkeypatch.setattr(type(kind), "prepare", lambda self, s, c, spec: Prepared(spec))
    token = make_token(session, session.get_one(User, project.owner_id))

    def ask(script: str) -> str:
        answer = traced_client.post(
            f"/api/v1/projects/{project.uuid}/tasks",
            json={
                "name": "traced",
                "spec": {"type": "data_quality", "dataset": NOWHERE.model_dump(mode="json")},
            },
            headers={
                "Authorization": f"Bearer {token}",
                "traceparent": f"00-{TRACE}-{CALLER}-01",
            },
        )
        assert answer.status_code == 202, answer.text
        uuid: str = answer.json()["uuid"]
        (home / "scripts").mkdir(exist_ok=True)
        (home / "scripts" / f"{uuid}.py").write_text(dedent(script))
        return uuid

    return ask


def run(session: Session, worker: int) -> None:
    held = attempts.claim_next(session, worker, ["default"])
    commit(session)
    assert held is not None
    runner.run_attempt(held)


def test_one_trace_leads_from_the_request_to_the_runtime(
    ask: Callable[[str], str],
    session: Session,
    make_worker: Any,
    collected: Collector,
    project: Any,
) -> None:
    uuid = ask("""
        import time
        report.phase("load"); time.sleep(0.02)
        report.phase("train"); time.sleep(0.02)
        report.event("told", traceparent=job.traceparent)
        report.phase("save")
    """)
    run(session, make_worker())
    tracing.stop()
    assert {span.trace for span in collected.spans} == {TRACE}
    request = collected.one("POST /api/v1/projects/{project}/tasks")
    submit, wait, attempt = (collected.one(name) for name in ("submit", "wait", "attempt"))
    load, train, save = (collected.one(name) for name in ("load", "train", "save"))
    assert request.parent == CALLER
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["http.route"] == "/api/v1/projects/{project}/tasks"
    assert request.attributes["url.path"] == f"/api/v1/projects/{project.uuid}/tasks"
    assert submit.parent == request.span
    assert wait.parent == attempt.parent == submit.span
    assert {load.parent, train.parent, save.parent} == {attempt.span}
    assert wait.begun < wait.ended <= attempt.begun < load.begun
    assert load.ended == train.begun < train.ended == save.begun <= save.ended <= attempt.ended
    assert attempt.attributes["aiplatform.task"] == uuid == submit.attributes["aiplatform.task"]
    assert (attempt.attributes["aiplatform.outcome"], attempt.failed) == ("completed", False)


def test_failed_attempt_is_a_failed_span(
    ask: Callable[[str], str], session: Session, make_worker: Any, collected: Collector
) -> None:
    ask('report.phase("load"); raise ValueError("no")')
    run(session, make_worker())
    tracing.stop()
    attempt = collected.one("attempt")
    assert (attempt.attributes["aiplatform.outcome"], attempt.failed) == ("failed", True)
    assert collected.one("load").ended <= attempt.ended


def test_log_line_of_the_request_names_the_trace(
    ask: Callable[[str], str], session: Session, make_worker: Any, collected: Collector
) -> None:
    # The test runner has added handlers of its own.
    (handler,) = (
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    )
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written := io.StringIO())
    ask("")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    (line,) = (line for line in lines if line["event"] == "request")
    assert line["trace_id"] == TRACE
    tracing.stop()
    assert line["span_id"] == collected.one("POST /api/v1/projects/{project}/tasks").span


def test_traces_are_off_by_default(
    client: CheckedClient, submit: Callable[..., Task], session: Session, make_worker: Any
) -> None:
    """Check that no span is created or sent, and that the exporter is not even imported."""
    client.get("/api/v1/health", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    task = submit('report.phase("load"); result = {"traceparent": job.traceparent}')
    run(session, make_worker())
    session.expire_all()
    assert session.get_one(Task, task.id).scheduling.result == {"traceparent": None}
    # FastAPI and redis import parts of OpenTelemetry themselves, if it is installed.
    script = (
        "import sys, aiplatform.server.app, aiplatform.server.worker; "
        "ours = {'aiplatform.server.core.otel', 'opentelemetry.exporter'}; "
        "sys.exit(not ours.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_traces_without_the_packages_are_refused(
    collected: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "packages_installed", lambda: False)
    with pytest.raises(tracing.TracesUnavailable, match="aiplatform\\[otel\\]"):
        tracing.start(get_settings(), "api")
