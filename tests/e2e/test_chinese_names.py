"""Tests of Chinese names in sign-in, command line, SDK, files, training and chat completions."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from aiplatform import Client
from aiplatform.client.deployments import Deployment
from aiplatform.client.models import Model
from tests.e2e.conftest import Platform, chats, running_platform
from tests.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow

USER, PROJECT = "王小明", "客服 项目"
USER_PASSWORD = "a passphrase of 小明 with enough words"
QUESTION = [{"role": "user", "content": "你好，你是谁？"}]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with running_platform(AIPLATFORM_SCRIPTS="true") as running:
        yield running


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[Client]:
    """Return a client that is signed in with a Chinese user name and password."""
    with platform.client() as admin:
        admin.users.create(USER, "wang@example.com", USER_PASSWORD)
        assert admin.users.get(USER).username == USER
    mine = Client(platform.url, credentials=platform.home / "wang.json")
    with mine.login(USER, USER_PASSWORD) as client:
        assert client.me().username == USER
        client.projects.create(PROJECT)
        client.project = PROJECT
        yield client


@pytest.fixture(scope="module")
def tuned(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Train a model with Chinese names for its base model, dataset, experiment and result."""
    directory = make_tiny_model(tmp_path_factory.mktemp("小模型"))
    base = client.models.import_path(directory / "weights", name="小模型").wait_ready(120)
    client.datasets.upload("问答集", chats(4)).wait_ready(120)
    experiment = client.experiments.create(
        "实验一",
        base_model="小模型",
        dataset="问答集@v1",
        output_name="客服模型",
        max_steps=2,
        batch_size=2,
        max_length=64,
    )
    task = client.experiments.run("实验一").wait(300)
    assert task.name.startswith(experiment.name)
    model = client.models.get("客服模型")
    assert (model.uuid, base.name) == (task.model, "小模型")
    return model


@pytest.fixture(scope="module")
def deployment(client: Client, tuned: Model) -> Deployment:
    return client.deployments.create("客服问答", "客服模型").wait_ready(120)


def test_openai_client_uses_a_deployment_with_a_chinese_name(
    client: Client, deployment: Deployment
) -> None:
    with OpenAI(base_url=client.openai_url, api_key=client.access_token()) as chat:
        listed = {model.id for model in chat.models.list()}
        assert {"客服问答", "客服问答:base"} <= listed
        assert chat.models.retrieve("客服问答").id == "客服问答"
        for name in ("客服问答", "客服问答:base", f"{client.project}/客服问答"):
            whole = chat.chat.completions.create(
                model=name, messages=QUESTION, max_tokens=4, temperature=0
            )
            assert whole.model == name
            pieces = chat.chat.completions.create(
                model=name, messages=QUESTION, max_tokens=4, temperature=0, stream=True
            )
            assert {piece.model for piece in pieces} == {name}


def test_sdk_finds_resources_by_their_chinese_names(
    client: Client, tuned: Model, deployment: Deployment, tmp_path: Path
) -> None:
    assert client.deployments.get("客服问答").uuid == deployment.uuid
    assert client.deployments.chat("客服问答", "你好", max_tokens=4).text is not None
    assert client.models.get(f"客服模型@{tuned.version}").uuid == tuned.uuid
    dataset = client.datasets.download("问答集@v1", tmp_path)
    assert dataset.name == "问答集-v1.jsonl"
    assert client.datasets.pull("问答集", to=f"{tmp_path}/").path.name == "问答集-v1.parquet"
    where = client.models.download("客服模型", tmp_path / "客服模型")
    assert (where / "README.md").is_file()
    lineage = client.models.lineage("客服模型")
    assert lineage["base_model"]["name"] == "小模型"
    assert {each["label"] for each in lineage["dataset_versions"]} == {"问答集@v1"}
    assert "客服模型" in (where / "README.md").read_text(encoding="utf-8")


def test_download_has_its_chinese_file_name(client: Client, tuned: Model) -> None:
    dataset = client.datasets.get("问答集")
    answer = httpx.get(
        f"{client.url}/api/v1/datasets/{dataset.uuid}/versions/v1/content?format=csv",
        headers={"Authorization": f"Bearer {client.access_token()}"},
    )
    offered = answer.headers["content-disposition"]
    assert offered.isascii()
    assert offered.endswith("filename*=UTF-8''%E9%97%AE%E7%AD%94%E9%9B%86-v1.csv")


def test_bundle_of_a_chinese_directory_keeps_its_name(client: Client, tmp_path: Path) -> None:
    directory = tmp_path / "我的 代码"
    directory.mkdir()
    (directory / "训练.py").write_text("print('你好')\n", encoding="utf-8")
    bundle = client.scripts.bundle(directory)
    assert bundle.name == "我的-代码"
    assert bundle.download(tmp_path).name == "我的-代码.tar.gz"


def test_command_line_works_with_chinese_names(
    platform: Platform, client: Client, deployment: Deployment, tmp_path: Path
) -> None:
    theirs = replace(
        platform, environment={"AIPLATFORM_CREDENTIALS": str(tmp_path / "credentials.json")}
    )

    def command(*arguments: str, given: str | None = None) -> str:
        return theirs.command(*arguments, given=given).stdout

    command("login", "-u", USER, "--password-stdin", given=f"{USER_PASSWORD}\n")
    assert json.loads(command("whoami", "--json"))["username"] == USER
    command("projects", "use", PROJECT)
    for arguments in (
        ("deploy", "show", "客服问答"),
        ("models", "show", "客服模型"),
        ("datasets", "show", "问答集"),
        ("experiments", "show", "实验一"),
    ):
        assert arguments[-1] in command(*arguments)
    assert command("chat", "客服问答", "你好", "--max-tokens", "4").strip()
    command("datasets", "download", "问答集", "-o", str(tmp_path))
    assert (tmp_path / "问答集-v1.jsonl").is_file()


def test_metrics_and_audit_trail_work_with_chinese_names(
    platform: Platform, client: Client, deployment: Deployment
) -> None:
    with platform.client() as admin:
        answer = httpx.get(
            f"{platform.url}/metrics",
            headers={"Authorization": f"Bearer {admin.access_token()}"},
        )
        assert answer.status_code == 200
        created = admin.audit.list(action="user:created", limit=5)
        assert USER in json.dumps([e.model_dump(mode="json") for e in created], ensure_ascii=False)
        by_name = admin.audit.list(user=USER, limit=5)
        assert {entry.user.username for entry in by_name if entry.user} == {USER}
