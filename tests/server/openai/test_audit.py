"""Tests of the audit entries for chats."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from tests.server.openai.conftest import orders
from tests.server.openai.fake_model_server import FakeModelServer


def audited(session: Session, deployment: Deployment) -> tuple[AuditLog, AuditEntry]:
    """Wait for the audit entry of a chat, which is written after the response, and return it."""
    statement: Any = (
        select(AuditLog, AuditEntry)
        .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
        .where(AuditLog.resource_id == str(deployment.uuid), AuditLog.action == "chat:requested")
    )
    for _ in range(100):
        found = session.execute(statement).all()
        session.rollback()
        if found:
            ((log, entry),) = found
            return log, entry
        time.sleep(0.05)
    raise AssertionError("no audit row")


@pytest.mark.parametrize("stream", [False, True])
def test_audit_entry_of_answered_chat(
    chat: openai.OpenAI,
    session: Session,
    owner: User,
    project: Project,
    deployment: Deployment,
    stream: bool,
) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if stream else {}
    answer = chat.chat.completions.create(
        model=deployment.name, messages=orders(tokens=4), stream=stream, **options
    )
    if isinstance(answer, openai.Stream):
        list(answer)

    log, entry = audited(session, deployment)
    assert log.user_id == owner.id
    assert log.ip_address is not None
    assert (entry.project_uuid, entry.outcome) == (project.uuid, "success")
    assert log.details["stream"] is stream
    assert log.details["reason"] is None
    assert log.details["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 4,
        "total_tokens": 11,
    }
    assert "w0" not in str(log.details)


def test_audit_entry_of_failed_chat(
    chat: openai.OpenAI, session: Session, deployment: Deployment, model_server: FakeModelServer
) -> None:
    model_server.die()
    with pytest.raises(openai.InternalServerError):
        chat.chat.completions.create(model=deployment.name, messages=orders())
    log, entry = audited(session, deployment)
    assert entry.outcome == "failure"
    assert log.details["reason"] == "deployment.server_unavailable"
