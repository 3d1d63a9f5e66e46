"""Tests of the methods that learn from preference pairs, with a tiny model in this process."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from aiplatform.protocol.enums import ModelKind
from aiplatform.protocol.trainings import SPECS, PreferenceSpec, parse_training
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import load_scorer, load_weights
from aiplatform.runtime.pairs import encode_pairs
from aiplatform.runtime.training import run_training
from tests.runtime.conftest import MakeDataset, RecordedReporter, make_job, training_spec

METHODS = [method.value for method, spec in SPECS.items() if issubclass(spec, PreferenceSpec)]
PAIRS = [
    {"prompt": f"What is {i} plus one?", "chosen": f"It is {i + 1}.", "rejected": f"{i}? No idea!"}
    for i in range(24)
]


@pytest.fixture
def make_pairs(make_dataset: MakeDataset) -> Callable[..., Path]:
    def make(rows: list[dict[str, Any]] = PAIRS, name: str = "pairs") -> Path:
        return make_dataset(rows, name)

    return make


def spec_of(method: str, **options: Any) -> dict[str, Any]:
    spec = training_spec(method=method, **options)
    spec["lora"] = {"rank": 4, "alpha": 8, **options.get("lora", {})}
    return spec


def train(
    method: str, directory: Path, report: Any, inputs: dict[str, Path], **options: Any
) -> Any:
    resume_from = options.pop("resume_from", None)
    job = make_job(directory, spec_of(method, **options), inputs, resume_from=resume_from)
    assert isinstance(job.spec, PreferenceSpec)
    return job, run_training(job, job.spec, report)


def series(messages: list[dict[str, Any]], *names: str) -> dict[int, list[float]]:
    return {
        m["step"]: [m["values"][name] for name in names]
        for m in messages
        if names[0] in m["values"]
    }


@pytest.mark.parametrize("method", METHODS)
def test_training_on_pairs_learns_to_prefer_the_chosen_answers(
    method: str,
    tiny_model: Path,
    make_pairs: Callable[..., Path],
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    inputs = {
        "base_model": tiny_model,
        "dataset": make_pairs(PAIRS[:16]),
        "eval_dataset": make_pairs(PAIRS[16:], "held-out"),
    }
    recorded.report.traced = True
    before = {path: path.read_bytes() for path in tiny_model.rglob("*") if path.is_file()}
    job, result = train(method, tmp_path, recorded.report, inputs, epochs=5, eval_steps=10)
    assert result["steps"] == 20
    assert (result["rows"], result["rows_truncated"], result["rows_dropped"]) == (16, 0, 0)
    assert result["train_loss_last"] < result["train_loss_first"]
    assert result["reward_accuracy"] == 1
    assert result["eval_reward_accuracy"] >= 0.75
    assert result["eval_reward_margin"] > 0
    json.dumps(result)

    messages = recorded.of_type("metrics")
    for name in ("loss", "reward_accuracy", "reward_margin"):
        assert [*series(messages, name)] == [*range(1, 21)], name
    names = ("eval_loss", "eval_reward_accuracy", "eval_reward_margin")
    assert [*series(messages, *names)] == [10, 20]
    assert result["eval_loss"] == series(messages, *names)[20][0]
    phases = [message["name"] for message in recorded.of_type("phase")]
    assert phases == ["load", "train", "evaluate", "train", "evaluate", "train", "save"]

    output = Path(job.output_dir)
    assert (output / "adapter" / "adapter_model.safetensors").is_file()
    card = (output / "README.md").read_text()
    assert f"the method {method} (LoRA, rank 4)" in card
    assert {path: path.read_bytes() for path in before} == before, "the base stays as it is"
    if SPECS[parse_training(spec_of(method)).method].makes is ModelKind.LANGUAGE_MODEL:
        assert load_weights(output, torch.float32).generation_config.eos_token_id is not None


@pytest.mark.parametrize("method", METHODS)
def test_resumed_training_on_pairs_equals_an_uninterrupted_one(
    method: str,
    tiny_model: Path,
    make_pairs: Callable[..., Path],
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    inputs = {
        "base_model": tiny_model,
        "dataset": make_pairs(),
        "eval_dataset": make_pairs(PAIRS[:5], "held-out"),
    }
    options = {
        "max_steps": 9,
        "checkpoint_steps": 3,
        "eval_steps": 4,
        "lora": {"dropout": 0.1},
        "learning_rate": 1e-3,
    }
    names = ("loss", "reward_accuracy", "reward_margin")
    whole, first = train(method, tmp_path / "whole", recorded.report, inputs, **options)
    count = len(recorded.of_type("metrics"))
    expected = series(recorded.of_type("metrics"), *names)
    checkpoint = Path(whole.checkpoint_dir) / "checkpoint-6"
    again, result = train(
        method, tmp_path / "again", recorded.report, inputs, resume_from=str(checkpoint), **options
    )
    resumed = series(recorded.of_type("metrics")[count:], *names)
    assert [*resumed] == [7, 8, 9]
    for at, values in resumed.items():
        assert values == pytest.approx(expected[at], abs=1e-6)
    for key in ("train_loss_first", "train_loss_last", "eval_loss", "eval_reward_margin", "tokens"):
        assert result[key] == pytest.approx(first[key], abs=1e-6), key
    tuned = load_file(Path(again.output_dir) / "adapter" / "adapter_model.safetensors")
    for name, tensor in load_file(
        Path(whole.output_dir) / "adapter" / "adapter_model.safetensors"
    ).items():
        assert torch.allclose(tuned[name], tensor, atol=1e-6), name


@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge", "ipo", "robust", "apo_zero"])
def test_dpo_begins_at_the_loss_of_equal_models(
    loss_type: str,
    tiny_model: Path,
    make_pairs: Callable[..., Path],
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    """Check that all rewards start at 0, because the reference model is the base model."""
    inputs = {"base_model": tiny_model, "dataset": make_pairs()}
    more = {"label_smoothing": 0.1} if loss_type == "robust" else {}
    train(
        "dpo", tmp_path, recorded.report, inputs, max_steps=1, loss_type=loss_type, beta=0.5, **more
    )
    loss, margin = series(recorded.of_type("metrics"), "loss", "reward_margin")[1]
    expected = {"hinge": 1, "ipo": 1, "apo_zero": 1}.get(loss_type, math.log(2))
    assert loss == pytest.approx(expected, abs=1e-5)
    assert margin == pytest.approx(0, abs=1e-5)


def test_orpo_loss_equals_its_definition(
    tiny_model: Path, make_pairs: Callable[..., Path], tmp_path: Path, recorded: RecordedReporter
) -> None:
    data = make_pairs(PAIRS[:1])
    inputs = {"base_model": tiny_model, "dataset": data}
    train("orpo", tmp_path, recorded.report, inputs, max_steps=1, beta=0.3)
    model = load_weights(tiny_model, torch.float32)
    (pair,) = encode_pairs(data, load_tokenizer(tiny_model / "weights"), max_length=128).pairs
    means = []
    for side in pair:
        labels = torch.from_numpy(side.labels).long()[1:]
        with torch.no_grad():
            logits = model(torch.from_numpy(side.input_ids).long().unsqueeze(0)).logits[0, :-1]
        means.append(-torch.nn.functional.cross_entropy(logits, labels).double())
    odds = [torch.exp(mean) / (1 - torch.exp(mean)) for mean in means]
    expected = -means[0] - 0.3 * torch.log(torch.sigmoid(torch.log(odds[0] / odds[1])))
    (loss,) = series(recorded.of_type("metrics"), "loss")[1]
    assert loss == pytest.approx(expected.item(), abs=1e-4)


def test_saved_reward_model_gives_the_scores_that_were_measured(
    tiny_model: Path, make_pairs: Callable[..., Path], tmp_path: Path, recorded: RecordedReporter
) -> None:
    held_out = make_pairs(PAIRS[16:], "held-out")
    inputs = {
        "base_model": tiny_model,
        "dataset": make_pairs(PAIRS[:16]),
        "eval_dataset": held_out,
    }
    job, result = train("reward", tmp_path, recorded.report, inputs, max_steps=6)
    output = Path(job.output_dir)
    tokenizer = load_tokenizer(output / "weights")
    model = load_scorer(output, torch.float32, pad=tokenizer.pad_token_id)
    margins = []
    for pair in encode_pairs(held_out, tokenizer, max_length=128).pairs:
        with torch.no_grad():
            scores = [
                model(torch.from_numpy(side.input_ids).long().unsqueeze(0)).logits.item()
                for side in pair
            ]
        margins.append(scores[0] - scores[1])
    assert sum(margins) / len(margins) == pytest.approx(result["eval_reward_margin"], abs=1e-3)
    assert "one score per text" in (output / "README.md").read_text()


@pytest.mark.parametrize("method", METHODS)
def test_batch_size_does_not_change_the_held_out_figures(
    method: str,
    tiny_model: Path,
    make_pairs: Callable[..., Path],
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    inputs = {
        "base_model": tiny_model,
        "dataset": make_pairs(PAIRS[:6]),
        "eval_dataset": make_pairs(PAIRS[:7], "held-out"),
    }
    found = []
    for size in (3, 7):
        _, result = train(
            method,
            tmp_path / str(size),
            recorded.report,
            inputs,
            max_steps=1,
            batch_size=size,
            learning_rate=1e-12,
        )
        found.append({key: value for key, value in result.items() if key.startswith("eval_")})
    # The loss of ORPO is a mean over the tokens of a batch, so it depends on the batches.
    precision = 0.05 if method == "orpo" else 1e-4
    assert found[0] == pytest.approx(found[1], abs=precision)


EQUAL = {"prompt": "Hi", "chosen": "Hello.", "rejected": "Hello."}
LONG = {"prompt": "yes " * 200, "chosen": "Hello.", "rejected": "No."}
EQUAL_START = {"prompt": "Hi", "chosen": "yes " * 200 + "a", "rejected": "yes " * 200 + "b"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (EQUAL, "In row 3 of the dataset, chosen and rejected are equal, so"),
        (LONG, "The prompt in row 3 of the dataset has .* no room for an answer within .* 128"),
        (EQUAL_START, "In row 3 of the dataset, chosen and rejected are equal after"),
    ],
)
def test_row_that_is_no_usable_pair_is_named(
    row: dict[str, str],
    message: str,
    tiny_model: Path,
    make_pairs: Callable[..., Path],
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_pairs([*PAIRS[:2], row])}
    with pytest.raises(JobError, match=message):
        train("dpo", tmp_path, recorded.report, inputs, max_steps=1)


def test_pairs_that_differ_before_the_last_answer_are_dropped(
    tiny_model: Path, make_pairs: Callable[..., Path]
) -> None:
    def side(question: str, answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    rows = [
        {"chosen": side("Hi", "Hello."), "rejected": side("Hi", "No.")},
        {"chosen": side("Hi", "Hello."), "rejected": side("Ho", "No.")},
    ]
    encoded = encode_pairs(make_pairs(rows), load_tokenizer(tiny_model / "weights"), max_length=128)
    assert (encoded.total, len(encoded.pairs)) == (2, 1)
    assert [*encoded.dropped] == ["its two sides differ before their last answers"]


def test_pairs_mark_only_the_last_answers(
    tiny_model: Path, make_pairs: Callable[..., Path]
) -> None:
    tokenizer = load_tokenizer(tiny_model / "weights")
    (pair,) = encode_pairs(make_pairs(PAIRS[:1]), tokenizer, max_length=128).pairs
    texts = [
        tokenizer.decode([label for label in side.labels.tolist() if label >= 0]) for side in pair
    ]
    assert texts == ["It is 1.<|im_end|>", "0? No idea!<|im_end|>"]
    start = int((pair.chosen.labels >= 0).argmax())
    assert pair.chosen.input_ids[:start].tolist() == pair.rejected.input_ids[:start].tolist()


def test_conversations_are_refused_by_methods_for_pairs(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset([{"text": "Hello."}])}
    with pytest.raises(JobError, match="of the shape 'text'; this method learns from preference"):
        train("dpo", tmp_path, recorded.report, inputs)


@pytest.mark.parametrize("method", METHODS)
def test_diverging_loss_ends_training_on_pairs(
    method: str,
    tiny_model: Path,
    make_pairs: Callable[..., Path],
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    broken = tmp_path / "broken"
    make_broken_model(tiny_model, broken)
    inputs = {"base_model": broken, "dataset": make_pairs()}
    with pytest.raises(JobError, match="The loss became nan at step 1: the training diverged"):
        train(method, tmp_path, recorded.report, inputs, max_steps=3)


def make_broken_model(model: Path, target: Path) -> None:
    """Copy a model and set one of its weights to NaN."""
    import shutil

    from safetensors.torch import save_file

    shutil.copytree(model, target)
    file = target / "weights" / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][0] = math.nan
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("method", METHODS)
def test_several_processes_are_refused_for_methods_on_pairs(method: str) -> None:
    with pytest.raises(ValidationError, match=f"the method {method} trains in one process"):
        parse_training(spec_of(method, processes=2))


def test_label_smoothing_without_the_loss_that_uses_it_is_refused() -> None:
    with pytest.raises(ValidationError, match="no effect without loss_type=robust"):
        parse_training(spec_of("dpo", label_smoothing=0.1))
