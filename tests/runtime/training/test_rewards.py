"""Tests of GRPO rewards: values, edge cases, failures, and rewards from other packages."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from aiplatform.protocol.discriminated_unions import members_of
from aiplatform.protocol.rewards import AnyReward, CustomReward, Reward, reward_labels
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.training import run_training
from aiplatform.runtime.training.rewards import SCORES, Answer, make_scorers
from tests.runtime.conftest import MakeDataset, RecordedReporter, make_job, training_spec

PLACE = "row 3 of the dataset"


def reward_of(**fields: Any) -> Reward:
    return TypeAdapter[Any](AnyReward).validate_python(fields)


def score(answer: str, reference: str | None = None, /, **fields: Any) -> float:
    [scorer] = make_scorers([reward_of(**fields)])
    return scorer.score(Answer(answer, 1), reference, place=PLACE)


def test_every_reward_has_a_function() -> None:
    assert set(SCORES) == set(members_of(AnyReward)) - {CustomReward}


@pytest.mark.parametrize(
    ("fields", "text", "reference", "expected"),
    [
        ({"kind": "exact"}, " It  is\nParis ", "It is Paris", 1),
        ({"kind": "exact"}, "it is paris", "It is Paris", 0),
        ({"kind": "exact", "ignore_case": True}, "it is PARIS", "It is Paris", 1),
        ({"kind": "exact", "ignore_whitespace": False}, "Paris ", "Paris", 0),
        ({"kind": "exact"}, "", "Paris", 0),
        ({"kind": "contains"}, "It is Paris.", " Paris\n", 1),
        ({"kind": "contains"}, "It is paris.", "Paris", 0),
        ({"kind": "contains", "text": "PARIS", "ignore_case": True}, "It is Paris.", None, 1),
        ({"kind": "contains", "text": "42"}, "", None, 0),
        ({"kind": "numeric"}, "2 + 3 = 5.", "5", 1),
        ({"kind": "numeric"}, "5 - 3 = -2", "The answer is \N{MINUS SIGN}2", 1),
        ({"kind": "numeric"}, "It costs 1,234.50 in all", "1234.5", 1),
        ({"kind": "numeric"}, "1, 2, 3", "3", 1),
        ({"kind": "numeric"}, "about 3.1", "3.14", 0),
        ({"kind": "numeric", "tolerance": 0.05}, "about 3.1", "3.14", 1),
        ({"kind": "numeric"}, "1e999", "1e999", 0),
        ({"kind": "numeric"}, "I do not know", "7", 0),
        ({"kind": "regex", "pattern": r"\d+"}, "It is 42", None, 1),
        ({"kind": "regex", "pattern": r"\d+", "whole": True}, "It is 42", None, 0),
        ({"kind": "regex", "pattern": "yes", "ignore_case": True}, "YES", None, 1),
        ({"kind": "json_schema", "json_schema": {"type": "object"}}, '{"a": 1}', None, 1),
        ({"kind": "json_schema", "json_schema": {"type": "object"}}, "[1]", None, 0),
        ({"kind": "json_schema", "json_schema": {"type": "object"}}, "Here: {}", None, 0),
        ({"kind": "json_schema", "json_schema": {}}, "```json\n[1,\n 2]\n```", None, 1),
        ({"kind": "json_schema", "json_schema": {}}, "NaN", None, 0),
        ({"kind": "json_schema", "json_schema": {}}, "[" * 100_000, None, 0),
        ({"kind": "length", "target": 4, "unit": "characters"}, "four", None, 1),
        ({"kind": "length", "target": 4, "unit": "characters"}, "five!", None, 0.75),
        ({"kind": "length", "target": 4, "unit": "characters"}, "much too long", None, 0),
        ({"kind": "length", "target": 2}, "one token", None, 0.5),
    ],
)
def test_reward_of_an_answer(
    fields: dict[str, Any], text: str, reference: str | None, expected: float
) -> None:
    assert score(text, reference, **fields) == expected


def test_reference_without_a_number_is_refused_with_the_row() -> None:
    with pytest.raises(JobError, match="reward numeric failed for row 3 of the dataset: the refer"):
        score("5", "five", kind="numeric")


def test_rewards_of_the_same_kind_have_different_names() -> None:
    rewards = [
        reward_of(kind="contains", text="a"),
        reward_of(kind="exact"),
        reward_of(kind="contains", text="b"),
        reward_of(kind="custom", name="my reward!"),
    ]
    assert reward_labels(rewards) == ["contains", "exact", "contains_2", "custom_my_reward_"]


MODULE = """
def vowels(answer, reference, settings):
    return sum(answer.text.count(each) for each in settings.get("vowels", "aeiou"))

def fails(answer, reference, settings):
    raise KeyError("no such dictionary")

def infinite(answer, reference, settings):
    return float(settings["value"])

nothing = None
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with rewards, including the files that pip would create."""
    site = tmp_path / "site"
    info = site / "vowel_rewards-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "vowel_rewards.py").write_text(MODULE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vowel-rewards\nVersion: 1.0\n")
    points = [f"{name} = vowel_rewards:{name}" for name in ("vowels", "fails", "infinite")]
    points += ["nothing = vowel_rewards:nothing", "missing = not_installed_at_all:reward"]
    (info / "entry_points.txt").write_text("[aiplatform.rewards]\n" + "\n".join(points))
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "vowel_rewards", raising=False)


@pytest.mark.usefixtures("installed")
def test_reward_of_another_distribution_scores_answers() -> None:
    assert score("banana", kind="custom", name="vowels") == 3
    assert score("banana", kind="custom", name="vowels", settings={"vowels": "e"}) == 0


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("fails", {}, r"custom_fails failed for row 3 of the dataset: 'no such dictionary'\. Corr"),
        ("infinite", {"value": "inf"}, "custom_infinite returned inf for row 3 of the dataset"),
        ("infinite", {"value": "nan"}, "returned nan for row 3"),
        ("infinite", {"value": "1e39"}, r"returned 1e\+39 for row 3"),
        ("nothing", {}, "'nothing' is not a function"),
        ("missing", {}, "'missing' can't be imported: No module named"),
        ("unknown", {}, r"'unknown' is not installed on this machine \(installed: fails, inf"),
    ],
)
def test_reward_that_fails_is_reported_with_its_name_and_the_row(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        score("text", kind="custom", name=name, settings=settings)


@pytest.mark.usefixtures("installed")
def test_reward_that_fails_ends_the_training(
    tiny_model: Path, make_dataset: MakeDataset, recorded: RecordedReporter, tmp_path: Path
) -> None:
    rows = [{"prompt": "Hi", "completion": "Hello"}]
    fields = {"num_generations": 4, "max_answer_tokens": 4, "lora": {"rank": 4}}
    reward = {"kind": "custom", "name": "infinite", "settings": {"value": "-inf"}}
    spec = training_spec(method="grpo", rewards=[reward], **fields)
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(rows)})
    message = "The reward custom_infinite returned -inf for row 1 of the dataset; a reward must be"
    with pytest.raises(JobError, match=message):
        run_training(job, job.spec, recorded.report)  # type: ignore[arg-type]
    assert recorded.of_type("metrics") == []
