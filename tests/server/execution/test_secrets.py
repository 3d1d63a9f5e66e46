"""Tests that secrets reach a task's process and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core.database import commit
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from tests.factories import make_secret, make_user

VALUE = "hf_correct-horse-battery"
SCRIPT = """
    import os, sys, pathlib
    pathlib.Path(os.environ["HOME"], "output", "seen").write_text("x")
    value = os.environ.get("HF_TOKEN", "none")
    print("the token is", value)
    print(value[:4] + value[4:], file=sys.stderr)
    job_file = pathlib.Path(job.output_dir).parent / "job.json"
    result["in_job"] = value in job_file.read_text()
    result["echoed"] = ["=" + value]
    result["length"] = len(value)
"""


@pytest.fixture
def owner(session: Session, project: Project) -> User:
    return session.get_one(User, project.owner_id)


def run(session: Session, make_worker: Callable[..., int]) -> None:
    held = attempts.claim_next(session, make_worker(), ["default"])
    commit(session)
    assert held is not None
    runner.run_attempt(held)
    session.expire_all()


def everything(session: Session, *, but: str = "secrets") -> str:
    """Return all rows of all tables except ``but`` as text."""
    tables = session.scalars(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ).all()
    return "\n".join(
        str(session.scalars(text(f'SELECT t::text FROM "{table}" t')).all())
        for table in tables
        if table != but
    )


def test_secret_reaches_the_child_and_nothing_else(
    session: Session, submit: Callable[..., Task], make_worker: Callable[..., int],
    kind: Any, owner: User, home: Path,
) -> None:  # fmt: skip
    secret = make_secret(session, owner, VALUE, name="hub")
    task = submit(SCRIPT, secrets={"HF_TOKEN": "hub"})
    run(session, make_worker)
    outcome = kind.outcomes[0]
    assert outcome.status == "completed", outcome.error
    assert outcome.result["length"] == len(VALUE)
    assert outcome.result["in_job"] is False
    assert outcome.result["echoed"] == ["=[secret]"]
    assert task.config["secrets"] == {"HF_TOKEN": "hub"}
    assert "the token is [secret]" in (session.get_one(Task, task.id).logs or "")
    assert VALUE not in everything(session)
    assert VALUE.encode() not in b"".join(
        path.read_bytes() for path in home.rglob("*") if path.is_file()
    )
    session.refresh(secret)
    assert secret.last_used_at is not None
    assert secret.updated_at == secret.created_at, "use is no change"
    actions = session.scalars(
        text("SELECT details::text FROM audit_logs WHERE action = 'secret:used'")
    ).all()
    assert len(actions) == 1
    assert str(task.uuid) in actions[0]


def test_project_secret_is_used_if_the_author_has_none_of_that_name(
    session: Session, submit: Callable[..., Task], make_worker: Callable[..., int],
    kind: Any, project: Project, owner: User,
) -> None:  # fmt: skip
    make_secret(session, project, VALUE, name="hub")
    submit(SCRIPT, secrets={"HF_TOKEN": "hub"})
    run(session, make_worker)
    assert kind.outcomes[0].result["length"] == len(VALUE)
    make_secret(session, owner, "my own value", name="hub")
    submit(SCRIPT, secrets={"HF_TOKEN": "hub"})
    run(session, lambda: make_worker("w2"))
    assert kind.outcomes[1].result["length"] == len("my own value")


def test_submission_with_the_secret_of_another_user_is_refused(
    session: Session, submit: Callable[..., Task], kind: Any
) -> None:
    from aiplatform.server.secrets.errors import NoSuchSecret

    make_secret(session, make_user(session), VALUE, name="theirs")
    with pytest.raises(NoSuchSecret):
        submit(SCRIPT, secrets={"HF_TOKEN": "theirs"})


@pytest.mark.parametrize("gone", ["removed", "deactivated", "key"])
def test_task_with_an_unavailable_secret_fails_with_the_reason(
    session: Session, submit: Callable[..., Task], make_worker: Callable[..., int],
    kind: Any, owner: User, gone: str, home: Path,
) -> None:  # fmt: skip
    secret = make_secret(session, owner, VALUE, name="hub")
    submit(SCRIPT, secrets={"HF_TOKEN": "hub"})
    key_file = home / "keys" / "secrets.key"
    kept = key_file.read_text()
    if gone == "removed":
        session.delete(secret)
    elif gone == "deactivated":
        owner.is_active = False
    else:
        key_file.unlink()
    session.commit()
    try:
        run(session, make_worker)
    finally:
        key_file.write_text(kept)
    outcome = kind.outcomes[0]
    assert outcome.status == "failed"
    assert ("'hub'" if gone != "key" else "key file") in outcome.error
    assert str(home) not in outcome.error


def test_spec_with_a_secret_in_another_variable_than_a_credential_is_refused() -> None:
    from pydantic import ValidationError

    from aiplatform.protocol.references import DatasetRef
    from aiplatform.protocol.specs import QualitySpec

    dataset = DatasetRef.model_validate({"dataset": "00000000-0000-0000-0000-000000000000"})
    QualitySpec(dataset=dataset, secrets={"HF_TOKEN": "a", "AWS_ACCESS_KEY_ID": "b"})
    for name in ("LD_PRELOAD", "PYTHONPATH", "PATH", "https_proxy", "HF_ENDPOINT", "A=B_TOKEN",
                 "hf_token", "_TOKEN", "TOKEN\n", "X_TOKEN\0"):  # fmt: skip
        with pytest.raises(ValidationError):
            QualitySpec(dataset=dataset, secrets={name: "a"})


def test_search_of_all_tables_finds_a_value_stored_in_clear_text(
    session: Session, submit: Callable[..., Task], kind: Any
) -> None:
    task = submit("")
    session.execute(
        text("UPDATE tasks SET logs = :value WHERE id = :id"), {"value": VALUE, "id": task.id}
    )
    assert VALUE in everything(session)
