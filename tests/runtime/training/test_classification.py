"""Tests of classification training with a tiny model: results, files, resuming, refused data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from aiplatform.protocol.trainings import parse_training
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.training import checkpoints
from aiplatform.runtime.training.classification import run_classification
from aiplatform.runtime.training.classification_trainer import figures
from tests.runtime.conftest import (
    BASE_MODEL,
    MakeDataset,
    RecordedReporter,
    make_job,
    training_spec,
)
from tests.runtime.training.conftest import losses

WORDS = {"colour": ("red", "green", "blue"), "number": ("one", "two", "six"), "pet": ("cat", "dog")}
ROWS = [
    {"text": f"I like {word} {'very ' * (i % 3)}much.", "label": label}
    for i in range(4)
    for label, words in WORDS.items()
    for word in words
]
HELD_OUT = {"eval_dataset": {"dataset": BASE_MODEL, "version": "v1"}}
Train = Callable[..., tuple[Any, dict[str, Any]]]


@pytest.fixture
def train(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> Train:
    """Return a function that trains a model on rows and returns the job and its result."""

    def run(
        rows: list[dict[str, Any]] = ROWS,
        held_out: list[dict[str, Any]] | None = None,
        name: str = "job",
        resume_from: str | None = None,
        base: Path = tiny_model,
        **options: Any,
    ) -> tuple[Any, dict[str, Any]]:
        inputs = {"base_model": base, "dataset": make_dataset(rows)}
        if held_out is not None:
            inputs["eval_dataset"] = make_dataset(held_out, "held-out")
            options |= HELD_OUT
        spec = training_spec(method="classification", **options)
        job = make_job(tmp_path / name, spec, inputs, resume_from=resume_from)
        return job, run_classification(job, recorded.report)

    return run


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_training_learns_labels_and_writes_a_classifier(
    train: Train, recorded: RecordedReporter, tuning: str
) -> None:
    rate = 1e-2 if tuning == "lora" else 2e-3
    job, result = train(held_out=ROWS[:16], epochs=12, tuning=tuning, learning_rate=rate)
    assert result["labels"] == ["colour", "number", "pet"]
    assert result["eval_accuracy"] >= 0.9
    assert result["eval_macro_f1"] >= 0.9
    assert [one["label"] for one in result["classes"]] == result["labels"]
    assert sum(map(sum, result["confusion"])) == 16
    output = Path(job.output_dir)
    assert (output / "adapter").exists() == (tuning == "lora")
    assert "one output per label" in (output / "README.md").read_text()

    # The saved model gives the same labels, by name.
    config = json.loads((output / "weights" / "config.json").read_text())
    assert [*config["id2label"].values()] == result["labels"]
    model = AutoModelForSequenceClassification.from_pretrained(output / "weights").eval()
    from aiplatform.runtime.chat import load_tokenizer

    tokenizer = load_tokenizer(output / "weights")
    right = 0
    for row in ROWS[:16]:
        ids = torch.tensor([tokenizer(row["text"])["input_ids"]])
        with torch.no_grad():
            place = int(model(input_ids=ids).logits.argmax())
        right += model.config.id2label[place] == row["label"]
    assert right / 16 == pytest.approx(result["eval_accuracy"])


# Training an adapter reaches a lower accuracy than training all weights, because the weights of the
# tiny encoder are random.
@pytest.mark.parametrize(("tuning", "rate", "accuracy"), [("lora", 3e-3, 0.7), ("full", 2e-3, 0.9)])
def test_training_makes_a_classifier_of_an_encoder(
    train: Train, tiny_encoder: Path, tuning: str, rate: float, accuracy: float
) -> None:
    job, result = train(
        held_out=ROWS[:16], base=tiny_encoder, epochs=12, tuning=tuning, learning_rate=rate
    )
    assert result["eval_accuracy"] >= accuracy
    output = Path(job.output_dir)
    config = json.loads((output / "weights" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert not (output / "weights" / "chat_template.jinja").exists()

    # The saved model gives the same labels.
    from aiplatform.runtime.chat import load_tokenizer

    model = AutoModelForSequenceClassification.from_pretrained(output / "weights").eval()
    tokenizer = load_tokenizer(output / "weights", chat=False)
    batch = tokenizer([row["text"] for row in ROWS[:16]], padding=True, return_tensors="pt")
    with torch.no_grad():
        places = model(**batch).logits.argmax(dim=1).tolist()
    right = [
        model.config.id2label[place] == row["label"]
        for place, row in zip(places, ROWS[:16], strict=True)
    ]
    assert sum(right) / 16 == pytest.approx(result["eval_accuracy"])


def test_resumed_training_of_an_encoder_equals_an_uninterrupted_one(
    train: Train, recorded: RecordedReporter, tiny_encoder: Path
) -> None:
    options = {"base": tiny_encoder, "max_steps": 6, "checkpoint_steps": 3}
    whole, _ = train(**options)
    expected = losses(recorded)
    checkpoint = checkpoints.list_checkpoints(Path(whole.checkpoint_dir))[0]
    count = len(recorded.of_type("metrics"))
    train(name="again", resume_from=str(checkpoint), **options)
    resumed = {m["step"]: m["values"]["loss"] for m in recorded.of_type("metrics")[count:]}
    assert resumed == pytest.approx({step: expected[step] for step in (4, 5, 6)}, abs=1e-6)


def test_texts_are_cut_to_what_an_encoder_reads(train: Train, tiny_encoder: Path) -> None:
    long = {"text": "I like cats " * 60, "label": "pet"}
    _, result = train([*ROWS, long], base=tiny_encoder, max_steps=1)
    assert result["rows_truncated"] == 1


def test_training_learns_several_labels_of_a_row(train: Train) -> None:
    rows = [
        {"text": f"I like {a} and {b}.", "label": f"{one}, {two}"}
        for one, a in (("colour", "red"), ("number", "six"))
        for two, b in (("pet", "cat"), ("tool", "saw"))
    ] * 8
    _, result = train(rows, rows[:4], epochs=12, label_separator=",")
    assert result["labels"] == ["colour", "number", "pet", "tool"]
    assert result["eval_accuracy"] == 1
    assert "confusion" not in result


def test_balanced_weights_change_the_loss_of_scarce_labels(
    train: Train, recorded: RecordedReporter
) -> None:
    curves = []
    for weights in ("none", "balanced"):
        count = len(recorded.of_type("metrics"))
        train(name=weights, max_steps=3, class_weights=weights)
        curves.append([m["values"]["loss"] for m in recorded.of_type("metrics")[count:]])
    assert curves[0][0] != pytest.approx(curves[1][0], abs=1e-4)


def test_resumed_training_equals_an_uninterrupted_one(
    train: Train, recorded: RecordedReporter
) -> None:
    whole, _ = train(max_steps=8, checkpoint_steps=4, gradient_accumulation=2)
    expected = losses(recorded)
    checkpoint = checkpoints.list_checkpoints(Path(whole.checkpoint_dir))[0]
    count = len(recorded.of_type("metrics"))
    train(
        name="again", resume_from=str(checkpoint), max_steps=8, checkpoint_steps=4,
        gradient_accumulation=2,
    )  # fmt: skip
    resumed = {m["step"]: m["values"]["loss"] for m in recorded.of_type("metrics")[count:]}
    assert resumed == pytest.approx({step: expected[step] for step in (5, 6, 7, 8)}, abs=1e-6)


def test_label_that_training_never_saw_is_refused_with_its_row(train: Train) -> None:
    held_out = [*ROWS[:2], {"text": "I like rain.", "label": "weather"}]
    with pytest.raises(JobError, match="Row 3 of the held-out dataset has the label 'weather'"):
        train(held_out=held_out)


@pytest.mark.parametrize("which", ["dataset", "held-out dataset"])
def test_one_label_only_is_refused(train: Train, which: str) -> None:
    rows = [row for row in ROWS if row["label"] == "pet"]
    given = {"rows": rows} if which == "dataset" else {"held_out": rows}
    with pytest.raises(JobError, match=f"All rows of the {which} have the label 'pet'"):
        train(**given)


def test_rows_without_text_or_label_are_dropped_and_refused_if_none_is_left(train: Train) -> None:
    bad = [{"text": " ", "label": "pet"}, {"text": "I like cats.", "label": None}]
    _, result = train([*ROWS, *bad], max_steps=1)
    assert (result["rows"], result["rows_dropped"]) == (len(ROWS) + 2, 2)
    with pytest.raises(JobError, match="None of the dataset's 2 rows has both"):
        train(bad, name="none")


def test_figures_are_those_of_a_known_confusion() -> None:
    predicted, right = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 1, 1, 0])
    found = figures(torch.eye(3)[predicted], right, ["a", "b", "c"])
    assert found["confusion"] == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert found["eval_accuracy"] == pytest.approx(0.6)
    assert found["eval_macro_f1"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert found["classes"][1] == {
        "label": "b", "rows": 3, "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3), "f1": pytest.approx(2 / 3),
    }  # fmt: skip


def test_several_processes_and_weights_for_several_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="trains in one process"):
        parse_training(training_spec(method="classification", processes=2))
    spec = training_spec(method="classification", label_separator=",", class_weights="balanced")
    with pytest.raises(ValueError, match="needs rows with one label each"):
        parse_training(spec)
