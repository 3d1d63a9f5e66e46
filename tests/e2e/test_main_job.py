"""Tests of the main workflow on a tiny model: data, training, evaluation, registry, deployment."""

import httpx
import openai
import psutil
import pytest
from openai import OpenAI

from aiplatform import Client
from aiplatform.client.models import Model
from tests.e2e.conftest import Platform, chats

pytestmark = pytest.mark.slow

TABLES = (
    "users", "projects", "experiments", "datasets", "dataset_versions", "models", "tasks", "roles",
    "audit_logs", "notifications", "celery_tasks",
)  # fmt: skip


@pytest.fixture(scope="module")
def tuned(client: Client, base_model: Model) -> Model:
    """Train and evaluate a model and return it."""
    train = client.datasets.upload("train", chats(8), base_model=base_model.uuid)
    held_out = client.datasets.upload("held-out", chats(2, tag="held out "))
    for dataset in (train, held_out):
        ready = dataset.wait_ready(120)
        assert ready.quality_report["rows"] > 0
    experiment = client.experiments.create(
        "answers",
        base_model=base_model,
        dataset=train.uuid,
        eval_dataset=held_out.uuid,
        output_name="tiny-tuned",
        max_steps=8,
        batch_size=4,
        max_length=128,
        learning_rate=1e-3,
        checkpoint_steps=4,
    )
    task = experiment.run().wait(300)
    model = client.models.get(task.model)
    done = client.models.evaluate(model, held_out.uuid, max_new_tokens=8).wait(180)
    assert len(done.result["answers"]) == 3
    return client.models.get(model.uuid)


def test_tuned_model_has_a_lower_loss_and_its_lineage(client: Client, tuned: Model) -> None:
    evaluation = tuned.metrics["evaluation"]
    assert evaluation["model"]["loss"] < evaluation["base"]["loss"]
    lineage = client.models.lineage(tuned)
    assert lineage["base_model"]["name"] == "tiny"
    assert {item["label"] for item in lineage["dataset_versions"]} == {"train@v1", "held-out@v1"}
    paths = {item.path for item in client.models.files(tuned)}
    assert {"adapter/adapter_model.safetensors", "README.md"} <= paths
    assert any(path.startswith("weights/") and path.endswith(".safetensors") for path in paths)


def test_deployment_answers_the_openai_client(
    client: Client, platform: Platform, tuned: Model
) -> None:
    deployment = client.deployments.create("answers", tuned).wait_ready(120)
    with OpenAI(base_url=client.openai_url, api_key=client.access_token()) as chat:
        names = {model.id for model in chat.models.list()}
        assert {"answers", "answers:base"} <= names
        question = [{"role": "user", "content": "Who are you?"}]
        for name in ("answers", "answers:base"):
            whole = chat.chat.completions.create(
                model=name, messages=question, max_tokens=8, temperature=0
            )
            stream = chat.chat.completions.create(
                model=name, messages=question, max_tokens=8, temperature=0, stream=True
            )
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            assert streamed == whole.choices[0].message.content
            assert whole.model == name
            assert whole.usage.completion_tokens > 0
        with pytest.raises(openai.NotFoundError):
            chat.chat.completions.create(model="no-such", messages=question)
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=client.openai_url, api_key="wrong").models.list()
    deployment.stop()
    stopped = client.deployments.get("answers")
    assert stopped.status in {"stopping", "stopped"}


def test_contract_tables_contain_the_whole_job(platform: Platform, tuned: Model) -> None:
    for table in TABLES:
        ((count,),) = platform.sql(f"SELECT count(*) FROM {table}")
        assert count > 0, table
    actions = {row[0] for row in platform.sql("SELECT DISTINCT action FROM audit_logs")}
    assert {
        "auth:login", "project:created", "dataset:created", "experiment:created", "task:submitted",
        "task:completed", "model:registered",
    } <= actions  # fmt: skip
    ((unsuccessful,),) = platform.sql(
        "SELECT count(*) FROM celery_tasks WHERE status NOT IN ('SUCCESS', 'STARTED')"
    )
    assert unsuccessful == 0
    # A wake-up is recorded once it has claimed a task, not only when the task has ended.
    ((claimed, timed),) = platform.sql(
        "SELECT count(*), count(*) FILTER (WHERE started_at <= completed_at AND runtime >= 0)"
        " FROM celery_tasks WHERE status = 'SUCCESS' AND result ? 'task'"
    )
    assert claimed == timed > 0
    ((status, progress, logs, usage),) = platform.sql(
        "SELECT status, progress, logs, gpu_usage FROM tasks WHERE type = 'training'"
    )
    assert (status, progress) == ("completed", 1.0)
    assert logs is not None
    assert usage["memory_mb"]["peak"] > 0


def test_api_never_loads_torch(platform: Platform, tuned: Model) -> None:
    api = psutil.Process(platform.pid("api"))
    mapped = {item.path for process in [api, *api.children(recursive=True)]
              for item in process.memory_maps()}  # fmt: skip
    assert not [path for path in mapped if "torch" in path]


def test_health_is_ok_and_problems_are_translated(platform: Platform) -> None:
    health = httpx.get(f"{platform.url}/api/v1/health/details").json()
    assert health["status"] == "ok"
    assert {"database", "migrations", "broker", "workers", "storage"} <= set(health["checks"])
    refused = httpx.get(f"{platform.url}/api/v1/projects", headers={"Accept-Language": "zh-CN"})
    assert refused.status_code == 401
    assert refused.json()["title"] == "未登录"
