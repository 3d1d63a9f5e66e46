"""Tests of ``aiplatform train``: specs from options and files, and following the task."""

import json
import re
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic_core import PydanticUndefined

from aiplatform.cli.train import train
from aiplatform.protocol.enums import TrainingMethod
from aiplatform.protocol.shapes.estimates import EXAMPLE_ESTIMATE
from aiplatform.protocol.trainings import LoraSpec, SftSpec
from tests.cli.conftest import TASK, D, E, M, P, Run, T, posted
from tests.client.fake import FakeServer, answer, sse
from tests.openapi_checks import Partial


def unfolded(text: str) -> str:
    """Return a command line error message without its frame."""
    return " ".join(text.replace("│", " ").split())


@pytest.fixture
def trainable(world: FakeServer) -> FakeServer:
    world.on(f"POST projects/{P}/experiments", answer(Partial({"uuid": E, "name": "x"}), 201))
    world.on(f"POST experiments/{E}/runs", answer(TASK | {"status": "pending"}, 202))
    result = {"steps": 60, "train_loss_first": 4.25, "train_loss_last": 1.5}
    world.on(f"GET tasks/{T}", answer(TASK | {"result": result}))
    world.on(
        f"GET tasks/{T}/events",
        sse(
            ("1", "status", {"status": "running"}),
            ("2", "progress", {"value": 0.5, "step": 30, "total_steps": 60, "seconds_left": 75}),
            ("3", "metrics", {"step": 30, "values": {"loss": 2.125}}),
            ("4", "end", {"status": "completed"}),
        ),
    )
    return world


def test_train_creates_experiment_starts_run_and_follows(run: Run, trainable: FakeServer) -> None:
    flags = "-m base -d faq@v1 --max-steps 60 --lora-rank 4 --name x"
    ran = run("train", *flags.split(), "--set", "lora.dropout=0.1", "--set", "lr_scheduler=linear")
    assert ran.code == 0, ran.err
    sent = posted(trainable, "/experiments")
    assert sent["name"] == "x"
    config = sent["config"]
    assert (config["base_model"], config["dataset"]) == (M, {"dataset": D, "version": "v1"})
    assert (config["max_steps"], config["lr_scheduler"]) == (60, "linear")
    assert (config["lora"]["rank"], config["lora"]["dropout"]) == (4, 0.1)
    assert "train: step 30/60 · loss 2.125\n" in ran.err
    assert "4.25" in ran.out
    assert "base@1" in ran.out


def test_rewards_are_read_from_repeated_options(
    run: Run, trainable: FakeServer, tmp_path: Path
) -> None:
    schema = tmp_path / "answer.json"
    schema.write_text('{"type": "object"}')
    rewards = {
        'contains text="New York" weight=2': {"text": "New York", "weight": 2},
        r"regex pattern='^\d+ #$' ignore_case=true": {"pattern": r"^\d+ #$", "ignore_case": True},
        "contains text=42": {"text": "42"},
        f"json_schema json_schema=@{schema}": {"json_schema": {"type": "object"}},
        """custom name=mine settings='{"a": 1}'""": {"name": "mine", "settings": {"a": 1}},
    }
    options = [word for reward in rewards for word in ("--reward", reward)]
    ran = run("train", "-m", "base", "-d", "faq", "--method", "grpo", *options, "--detach")
    assert ran.code == 0, ran.err
    sent = posted(trainable, "/experiments")["config"]["rewards"]
    for written, fields, reward in zip(rewards, rewards.values(), sent, strict=True):
        assert reward.items() >= {"kind": written.split()[0], **fields}.items()


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("", "write it as a kind and settings"),
        ("regex pattern='x", "write it as a kind and settings"),
        ("regex x", "write x as key=value"),
        ("json_schema json_schema=@nowhere.json", "--reward json_schema: "),
        ("json_schema json_schema={", "--reward json_schema: "),
        ("magic", "must be one of exact, contains"),
        ("regex pattern=(", "is not a regular expression"),
    ],
)
def test_reward_that_can_not_be_read_is_refused(
    run: Run, trainable: FakeServer, reward: str, message: str
) -> None:
    del trainable
    ran = run("train", "-m", "base", "-d", "faq", "--method", "grpo", "--reward", reward)
    assert ran.code == 2
    assert message in unfolded(ran.err)


def test_train_that_waits_prints_each_reason_once(run: Run, trainable: FakeServer) -> None:
    def waits(number: int, reason: str) -> tuple[str, str, dict[str, object]]:
        return (str(number), "waiting", {"reason": reason, "ahead": 0, "blocked": True})

    full = "needs 1 CPU core, 0 of 2 free: deployments a, b"
    trainable.on(
        f"GET tasks/{T}/events",
        sse(
            ("1", "status", {"status": "pending"}),
            waits(2, f"7 ahead; {full}"),
            waits(3, f"6 ahead; {full}"),
            waits(4, full),
            waits(5, full),
            ("6", "status", {"status": "running"}),
            ("7", "end", {"status": "completed"}),
        ),
    )
    ran = run("train", "-m", "base", "-d", "faq")
    assert ran.code == 0, ran.err
    told = [line for line in ran.err.splitlines() if "waits" in line]
    assert told == [f"train waits: 7 ahead; {full}", f"train waits: {full}"]


def test_help_shows_the_defaults_of_the_spec() -> None:
    fields = SftSpec.model_fields
    defaults = {name: field.default for name, field in fields.items()}
    defaults |= {f"lora_{name}": f.default for name, f in LoraSpec.model_fields.items()}
    defaults["output"] = defaults["output_name"]
    options = get_type_hints(train, include_extras=True)
    said = {
        name: match[1]
        for name, hint in options.items()
        if name != "return"
        and (match := re.search(r"Default: (\S+)\.$", hint.__metadata__[0].help or ""))
    }
    wanted = {
        name: f"{defaults[name]:g}" if isinstance(defaults[name], float) else str(defaults[name])
        for name in options
        if defaults.get(name) not in (None, PydanticUndefined)
    }
    assert said == wanted
    assert len(said) == 11


def test_help_names_all_methods() -> None:
    said = get_type_hints(train, include_extras=True)["method"].__metadata__[0].help
    assert f"Possible: {', '.join(TrainingMethod)}." in said


@pytest.mark.parametrize("missing", ["base_model", "dataset"])
def test_spec_without_a_required_field_is_refused(run: Run, tmp_path: Path, missing: str) -> None:
    file = tmp_path / "spec.json"
    fields = {"base_model": "base", "dataset": "faq", "epochs": 1}
    file.write_text(json.dumps({k: v for k, v in fields.items() if k != missing}))
    ran = run("train", "-f", str(file), "--detach")
    assert ran.code == 2
    assert f"has no {missing}: add it to the file" in unfolded(ran.err)


@pytest.mark.parametrize("kind", ["toml", "json", "yaml"])
def test_train_options_override_the_spec_file(
    run: Run, trainable: FakeServer, tmp_path: Path, kind: str
) -> None:
    texts = {
        "toml": 'name = "s"\nbase_model = "base"\ndataset = "faq"\nmax_steps = 9\nseed = 1\n'
        "[lora]\nrank = 4\n",
        "json": '{"name":"s","base_model":"base","dataset":"faq","max_steps":9,"seed":1,'
        '"lora":{"rank":4}}',
        "yaml": "name: s\nbase_model: base\ndataset: faq\nmax_steps: 9\nseed: 1\nlora: {rank: 4}\n",
    }
    file = tmp_path / f"spec.{kind}"
    file.write_text(texts[kind])
    assert run("train", "-f", str(file), "--max-steps", "5", "--detach").code == 0
    sent = posted(trainable, "/experiments")
    config = sent["config"]
    assert sent["name"] == "s"
    assert (config["max_steps"], config["seed"], config["lora"]["rank"]) == (5, 1, 4)
    assert config["dataset"] == {"dataset": D, "version": None}


def test_train_with_json_prints_events_and_the_task(run: Run, trainable: FakeServer) -> None:
    ran = run("train", "-m", "base", "-d", "faq", "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["event"] for line in lines[:-1]] == ["status", "progress", "metrics", "end"]
    assert lines[-1]["uuid"] == T
    assert lines[-1]["result"]["steps"] == 60


def test_train_that_fails_exits_with_5(run: Run, trainable: FakeServer) -> None:
    failed = TASK | {"status": "failed", "error_message": "out of memory"}
    trainable.on(f"GET tasks/{T}", answer(failed))
    ran = run("train", "-m", "base", "-d", "faq")
    assert ran.code == 5
    assert "train failed: out of memory" in ran.err
    assert f"aiplatform tasks logs {T}" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "learning_rat=1"), "learning_rat"),
        (("--epochs", "0"), "epochs: must be greater than 0"),
        (("--set", "nonsense"), "key=value"),
    ],
)
def test_train_with_invalid_fields_is_refused_without_a_request(
    run: Run, trainable: FakeServer, arguments: tuple[str, ...], words: str
) -> None:
    ran = run("train", "-m", "base", "-d", "faq", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert trainable.count(f"POST projects/{P}/experiments") == 0


def test_dry_run_prints_the_estimate_and_starts_nothing(run: Run, world: FakeServer) -> None:
    queued = Partial({"uuid": T, "project": P, "status": "pending", "result": None})
    world.on(f"POST projects/{P}/training-estimates", answer(queued, 202))
    world.on(f"GET tasks/{T}", answer(TASK | {"type": "estimate"}))
    world.on(f"GET tasks/{T}/events", sse(("1", "end", {"status": "completed"})))
    done = queued | {"status": "completed", "result": EXAMPLE_ESTIMATE}
    world.on(f"GET training-estimates/{T}", answer(done))
    ran = run("train", "-m", "base", "-d", "faq", "--max-steps", "3", "--dry-run")
    assert ran.code == 0, ran.err
    assert posted(world, "/training-estimates")["config"]["max_steps"] == 3
    assert re.search(r"peak memory +2.2 GB \(1.9 GB to 2.6 GB\)", ran.out)
    assert re.search(r"duration +0:52 \(0:40 to 1:15\)", ran.out)
    assert "3 measured steps" in ran.out
    assert "1 rows dropped: it has no assistant's message to learn from\n  4: Where" in ran.out
    assert "Where is my parcel?[[It is on its way.]]" in ran.out
    assert "Warning: 3 of 119 rows are cut" in ran.out
    world.on(f"GET tasks/{T}/events", sse(("1", "end", {"status": "completed"})))
    as_json = run("train", "-m", "base", "-d", "faq", "--dry-run", "--json")
    assert json.loads(as_json.out)["result"] == EXAMPLE_ESTIMATE
    assert not [sent for sent in world.requests if sent.url.path.endswith("/experiments")]
