"""Tests of complete training runs with a tiny model in this process: results, files and reports."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from aiplatform.protocol.trainings import parse_training
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.evaluation.loss import token_losses
from aiplatform.runtime.loading import load_adapter, load_weights
from aiplatform.runtime.model_cards import read_front_matter
from aiplatform.runtime.rows import encode_dataset
from aiplatform.runtime.training.output import write_tuned_card
from aiplatform.runtime.training.sft import run_sft
from tests.runtime.conftest import (
    BASE_MODEL,
    MakeDataset,
    RecordedReporter,
    chat,
    make_job,
    training_spec,
)
from tests.runtime.training.conftest import ROWS, losses


def test_training_reduces_the_loss_and_writes_a_model(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    data, held_out = make_dataset(ROWS), make_dataset(ROWS[:6], "held-out")
    inputs = {"base_model": tiny_model, "dataset": data, "eval_dataset": held_out}
    spec = training_spec(epochs=5, eval_steps=10, output_name="adder")
    job = make_job(tmp_path, spec, inputs)
    before = {path: path.read_bytes() for path in tiny_model.rglob("*") if path.is_file()}
    recorded.report.traced = True
    result = run_sft(job, recorded.report)

    # Result.
    assert result["steps"] == 30
    assert result["epochs"] == pytest.approx(5)
    assert (result["rows"], result["rows_truncated"], result["rows_dropped"]) == (24, 0, 0)
    assert result["train_loss_last"] < result["train_loss_first"] - 1
    assert result["perplexity"] == pytest.approx(math.exp(result["eval_loss"]))
    assert result["trainable_parameters"] > 0
    assert result["tokens"] == 5 * encoded_tokens(tiny_model, data)
    assert result["versions"]["torch"] == torch.__version__
    json.dumps(result)

    # Messages.
    by_step = losses(recorded)
    assert [*by_step] == [*range(1, 31)]
    assert by_step[1] == result["train_loss_first"]
    values = recorded.of_type("metrics")[0]["values"]
    assert {*values} == {
        *("loss", "learning_rate", "grad_norm", "epoch"),
        *("seconds_per_step", "tokens_per_second"),
    }
    evaluated = [m["step"] for m in recorded.of_type("metrics") if "eval_loss" in m["values"]]
    assert evaluated == [10, 20, 30], "each once, the last too"
    progress = [message["value"] for message in recorded.of_type("progress")]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    steps = [m for m in recorded.of_type("progress") if m["step"] is not None]
    assert steps[-1]["step"] == steps[-1]["total_steps"] == 30
    assert all(message["seconds_left"] >= 0 for message in steps)
    phases = [message["name"] for message in recorded.of_type("phase")]
    assert phases == ["load", *("train", "evaluate") * 3, "train", "save"]
    (event,) = [m for m in recorded.of_type("event") if m["name"] == "rows"]
    assert event["data"]["used"] == 24

    # Files.
    output = Path(job.output_dir)
    files = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert files == {
        *("README.md", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"),
        *("weights/config.json", "weights/generation_config.json", "weights/model.safetensors"),
        *("weights/tokenizer.json", "weights/tokenizer_config.json"),
        "weights/chat_template.jinja",
    }
    for path in output.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)
    for name in ("adapter/adapter_config.json", "weights/config.json", "README.md"):
        text = (output / name).read_text()
        assert str(tmp_path) not in text, f"{name} names a path of this machine"
        assert str(tiny_model) not in text
    card = read_front_matter(output / "README.md")
    assert card["license"] == "apache-2.0"
    assert card["base_model"] == BASE_MODEL
    assert card["datasets"] == [f"{BASE_MODEL}@v1"]
    assert card["metrics"]["eval_loss"] == pytest.approx(result["eval_loss"], abs=1e-4)
    assert card["config"]["lora"]["rank"] == 4
    after = {path: path.read_bytes() for path in tiny_model.rglob("*") if path.is_file()}
    assert after == before, "the base is read only"


def test_card_contains_names_and_uuids_of_base_and_data(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    result = {
        "train_loss_last": 1.0, "rows": 3, "rows_truncated": 0, "rows_dropped": 0, "steps": 2,
        "epochs": 1.0, "tokens": 30, "precision": "fp32", "versions": {"torch": "2"},
    }  # fmt: skip
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    labels = {"base_model": "tiny@1", "dataset": "a `name`\u4e2d@v1"}
    job = make_job(tmp_path, training_spec(), inputs, labels=labels)
    write_tuned_card(tmp_path / "README.md", tiny_model, job, result)
    card = read_front_matter(tmp_path / "README.md")
    assert (card["base_model"], card["datasets"]) == ("tiny@1", ["a `name`\u4e2d@v1"])
    assert card["config"]["base_model"] == BASE_MODEL
    assert card["config"]["dataset"] == {"dataset": BASE_MODEL, "version": "v1"}
    text = (tmp_path / "README.md").read_text()
    assert f"from the base model `tiny@1` ({BASE_MODEL})" in text
    assert f"on the dataset version `a 'name'\u4e2d@v1` ({BASE_MODEL}@v1):" in text


def encoded_tokens(model: Path, data: Path) -> int:
    return encode_dataset(data, load_tokenizer(model / "weights"), max_length=128).tokens


def test_adapter_and_merged_weights_give_the_same_logits(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    job = make_job(
        tmp_path,
        training_spec(max_steps=10),
        {"base_model": tiny_model, "dataset": make_dataset(ROWS)},
    )
    run_sft(job, recorded.report)
    output = Path(job.output_dir)
    base = load_weights(tiny_model, torch.float32)
    merged = load_weights(output, torch.float32)
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        untouched = base(ids).logits
        adapted = load_adapter(base, output)(ids).logits
        assert torch.allclose(merged(ids).logits, adapted, atol=1e-4)
        assert not torch.allclose(merged(ids).logits, untouched, atol=1e-1)


def test_tuned_model_gives_the_learned_answer_and_stops(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    rows = [chat("Who are you?", "I am a tuned model.")] * 8
    spec = training_spec(max_steps=60, learning_rate=3e-2, lora={"rank": 8, "alpha": 16})
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(rows)})
    run_sft(job, recorded.report)
    output = Path(job.output_dir)
    tokenizer = load_tokenizer(output / "weights")
    model = load_weights(output, torch.float32)
    prompt = tokenizer.apply_chat_template(
        rows[0]["messages"][:1], add_generation_prompt=True, return_tensors="pt"
    )
    answer = model.generate(**prompt, max_new_tokens=60, do_sample=False)
    text = tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
    assert text == "I am a tuned model.<|im_end|>", "it says what it learned, then ends"


def test_loss_is_the_mean_over_learned_tokens_of_all_accumulated_batches(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    """Recompute the loss row by row. Rows of very different lengths would reveal a wrong mean."""
    rows = [chat("Hi", "yes " * n) for n in (1, 2, 30, 3, 1, 20, 2, 5)]
    data = make_dataset(rows)
    spec = training_spec(
        max_steps=1, batch_size=2, gradient_accumulation=4, lora={"rank": 2, "dropout": 0}
    )
    run_sft(make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": data}), recorded.report)
    model = load_weights(tiny_model, torch.float32)
    tokenizer = load_tokenizer(tiny_model / "weights")
    total, count = 0.0, 0
    for row in encode_dataset(data, tokenizer, max_length=128).rows:
        ids = torch.from_numpy(row.input_ids).long()
        labels = torch.from_numpy(row.labels).long()
        with torch.no_grad():
            logits = model(ids.unsqueeze(0)).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(
            logits, labels[1:], reduction="sum", ignore_index=-100
        ).item()
        count += int((labels[1:] != -100).sum())
    assert losses(recorded)[1] == pytest.approx(total / count, abs=1e-4)


def test_model_that_cannot_select_logits_has_the_same_losses(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_dataset(ROWS)
    for name, selects in (("a", True), ("b", False)):
        monkeypatch.setattr(
            "aiplatform.runtime.training.trainer.selects_logits", lambda _, s=selects: s
        )
        spec = training_spec(max_steps=3, gradient_accumulation=2)
        inputs = {"base_model": tiny_model, "dataset": data}
        run_sft(make_job(tmp_path / name, spec, inputs), recorded.report)
    both = [m["values"]["loss"] for m in recorded.of_type("metrics")]
    assert both[:3] == pytest.approx(both[3:], abs=1e-5)


def test_loss_of_nan_ends_the_training_with_advice(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    spec = training_spec(max_steps=200)
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(ROWS)})

    from aiplatform.runtime.training import reporting

    original = reporting.ReportingCallback.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **k: Any) -> None:
        if state.global_step == 3 and logs and "loss" in logs:
            logs = {**logs, "loss": math.nan}
        original(self, args, state, control, logs=logs, **k)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting.ReportingCallback, "on_log", on_log)
        with pytest.raises(JobError, match="became nan at step 3: the training diverged"):
            run_sft(job, recorded.report)
    assert recorded.of_type("metrics")[-1]["values"]["loss"] == "NaN", "the curve shows it"


def test_unknown_target_module_is_refused(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    spec = training_spec(max_steps=1, lora={"target_modules": ["no_such_module"]})
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(ROWS)})
    with pytest.raises(JobError, match="no_such_module"):
        run_sft(job, recorded.report)


def test_training_changes_only_the_given_target_modules(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    spec = training_spec(max_steps=1, lora={"rank": 4, "target_modules": ["q_proj", "v_proj"]})
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(ROWS)})
    run_sft(job, recorded.report)
    tensors = load_file(Path(job.output_dir) / "adapter" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in tensors} == {"q_proj", "v_proj"}


def test_dataset_without_usable_rows_fails_before_the_model_is_loaded(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aiplatform.runtime.training.sft.load_weights", None)
    data = make_dataset([{"messages": [{"role": "user", "content": "nobody answers"}]}])
    job = make_job(tmp_path, training_spec(), {"base_model": tiny_model, "dataset": data})
    with pytest.raises(JobError, match="None of the dataset's 1 rows can be used"):
        run_sft(job, recorded.report)


def test_same_seed_gives_the_same_losses(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_sft(
            make_job(tmp_path / name, training_spec(max_steps=4, seed=seed), inputs),
            recorded.report,
        )
    all_losses = [m["values"]["loss"] for m in recorded.of_type("metrics")]
    assert all_losses[:4] == all_losses[4:8]
    assert all_losses[:4] != all_losses[8:]


def test_held_out_dataset_without_usable_rows_is_named(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    nobody = make_dataset([{"messages": [{"role": "user", "content": "Hi"}]}], "held-out")
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS), "eval_dataset": nobody}
    with pytest.raises(JobError, match="None of the held-out dataset's 1 rows"):
        run_sft(make_job(tmp_path, training_spec(), inputs), recorded.report)


def test_rows_are_truncated_to_the_models_context_length(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    data = make_dataset([chat("Hi", "yes " * 700)] * 4)
    spec = training_spec(max_steps=1, max_length=4096, batch_size=1)
    result = run_sft(
        make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": data}), recorded.report
    )
    assert result["rows_truncated"] == 4
    assert result["tokens"] == 512


def test_same_job_gives_exactly_the_same_losses(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    make_recorded_reporter: Callable[[], RecordedReporter],
) -> None:
    data = make_dataset(ROWS)
    curves = []
    for place, seed in enumerate((7, 7, 8)):
        recorded = make_recorded_reporter()
        torch.manual_seed(place)  # the earlier state of the generator must not matter
        spec = training_spec(max_steps=6, seed=seed)
        job = make_job(tmp_path / str(place), spec, {"base_model": tiny_model, "dataset": data})
        run_sft(job, recorded.report)
        curves.append(losses(recorded))
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]
    (event,) = [m for m in recorded.of_type("event") if m["name"] == "environment"]
    assert event["data"]["packages"]["torch"] == torch.__version__
    assert event["data"]["hardware"]["gpus"] == []
    assert event["data"]["hardware"]["memory_mb"] > 100


@pytest.mark.parametrize("kind", ["dora", "rslora"])
def test_training_with_a_kind_of_lora_writes_an_adapter_of_this_kind(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
    kind: str,
) -> None:
    spec = training_spec(max_steps=6, lora={"rank": 4, "kind": kind})
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(ROWS)})
    result = run_sft(job, recorded.report)
    assert result["train_loss_last"] < result["train_loss_first"]
    config = json.loads((Path(job.output_dir) / "adapter" / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"]) == (kind == "dora", kind == "rslora")
    assert (
        f"({'DoRA' if kind == 'dora' else 'rsLoRA'}, rank 4)"
        in (Path(job.output_dir) / "README.md").read_text()
    )


def test_full_tuning_changes_all_weights_and_writes_no_adapter(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    data = make_dataset(ROWS)
    spec = training_spec(max_steps=8, tuning="full", learning_rate=1e-3)
    job = make_job(
        tmp_path, spec, {"base_model": tiny_model, "dataset": data, "eval_dataset": data}
    )
    result = run_sft(job, recorded.report)
    assert result["train_loss_last"] < result["train_loss_first"]
    output = Path(job.output_dir)
    assert not (output / "adapter").exists()
    card = (output / "README.md").read_text()
    assert "(all weights)" in card
    assert "adapter/" not in card
    base = load_file(tiny_model / "weights" / "model.safetensors")
    tuned = load_file(output / "weights" / "model.safetensors")
    assert {*tuned} == {*base}
    assert all(not torch.equal(tuned[name], base[name]) for name in base)
    assert result["trainable_parameters"] == sum(tensor.numel() for tensor in base.values())
    # The saved model has the loss that was measured last, so it is the trained one.
    tokenizer = load_tokenizer(output / "weights")
    rows = encode_dataset(data, tokenizer, max_length=128)
    model = load_weights(output, torch.float32)
    mean = token_losses(model, rows.rows, pad=tokenizer.pad_token_id, batch_size=4)
    assert mean is not None
    assert mean.loss == pytest.approx(result["eval_loss"], abs=1e-4)


def test_noise_on_embeddings_changes_the_losses_but_not_the_model_in_evaluations(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    make_recorded_reporter: Callable[[], RecordedReporter],
) -> None:
    data = make_dataset(ROWS)
    inputs = {"base_model": tiny_model, "dataset": data, "eval_dataset": data}
    curves, held_out = [], []
    for name, alpha in (("without", None), ("with", 50)):
        recorded = make_recorded_reporter()
        spec = training_spec(max_steps=2, learning_rate=1e-9, neftune_alpha=alpha)
        result = run_sft(make_job(tmp_path / name, spec, inputs), recorded.report)
        curves.append(losses(recorded)[1])
        held_out.append(result["eval_loss"])
    assert curves[0] != pytest.approx(curves[1], abs=1e-3)
    assert held_out[0] == pytest.approx(held_out[1], abs=1e-5)


def test_full_tuning_with_sharding_is_refused() -> None:
    spec = training_spec(tuning="full", processes=2, accelerator={"fsdp": {}})
    with pytest.raises(ValidationError, match="tuning=full can't be combined"):
        parse_training(spec)
