"""A whole training on a tiny model, in this process: what it learns, leaves and says."""

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from aiplatform.runtime.cards import read_front_matter
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import load_adapter, load_weights
from aiplatform.runtime.rows import encode_dataset
from aiplatform.runtime.stop import JobStopped
from aiplatform.runtime.training import checkpoints
from aiplatform.runtime.training.sft import run_sft
from tests.runtime.conftest import (
    BASE_MODEL,
    Heard,
    MakeDataset,
    chat,
    make_job,
    training_spec,
)

ROWS = [chat(f"What is {i} plus one?", f"It is {i + 1}.") for i in range(24)]


@pytest.fixture(autouse=True)
def _restore_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def losses(heard: Heard) -> dict[int, float]:
    return {
        message["step"]: message["values"]["loss"]
        for message in heard.of_type("metrics")
        if "loss" in message["values"]
    }


def test_a_training_learns_and_leaves_a_model(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    data, held_out = make_dataset(ROWS), make_dataset(ROWS[:6], "held-out")
    inputs = {"base_model": tiny_model, "dataset": data, "eval_dataset": held_out}
    spec = training_spec(epochs=5, eval_steps=10, output_name="adder")
    job = make_job(tmp_path, spec, inputs)
    before = {path: path.read_bytes() for path in tiny_model.rglob("*") if path.is_file()}
    result = run_sft(job, heard.report)

    # What it returns.
    assert result["steps"] == 30
    assert result["epochs"] == pytest.approx(5)
    assert (result["rows"], result["rows_truncated"], result["rows_dropped"]) == (24, 0, 0)
    assert result["train_loss_last"] < result["train_loss_first"] - 1
    assert result["perplexity"] == pytest.approx(math.exp(result["eval_loss"]))
    assert result["trainable_parameters"] > 0
    assert result["tokens"] == 5 * encoded_tokens(tiny_model, data)
    assert result["versions"]["torch"] == torch.__version__
    json.dumps(result)

    # What it said.
    by_step = losses(heard)
    assert [*by_step] == [*range(1, 31)]
    assert by_step[1] == result["train_loss_first"]
    values = heard.of_type("metrics")[0]["values"]
    assert {*values} == {
        *("loss", "learning_rate", "grad_norm", "epoch"),
        *("seconds_per_step", "tokens_per_second"),
    }
    evaluated = [m["step"] for m in heard.of_type("metrics") if "eval_loss" in m["values"]]
    assert evaluated == [10, 20, 30], "each once, the last too"
    progress = [message["value"] for message in heard.of_type("progress")]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    steps = [m for m in heard.of_type("progress") if m["step"] is not None]
    assert steps[-1]["step"] == steps[-1]["total_steps"] == 30
    assert all(message["seconds_left"] >= 0 for message in steps)
    (event,) = [m for m in heard.of_type("event") if m["name"] == "rows"]
    assert event["data"]["used"] == 24

    # What it left.
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


def encoded_tokens(model: Path, data: Path) -> int:
    return encode_dataset(data, load_tokenizer(model / "weights"), max_length=128).tokens


def test_adapter_and_merged_weights_are_the_same_model(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    job = make_job(
        tmp_path,
        training_spec(max_steps=10),
        {"base_model": tiny_model, "dataset": make_dataset(ROWS)},
    )
    run_sft(job, heard.report)
    output = Path(job.output_dir)
    base = load_weights(tiny_model, torch.float32)
    merged = load_weights(output, torch.float32)
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        untouched = base(ids).logits
        adapted = load_adapter(base, output)(ids).logits
        assert torch.allclose(merged(ids).logits, adapted, atol=1e-4)
        assert not torch.allclose(merged(ids).logits, untouched, atol=1e-1)


def test_the_tuned_model_answers_and_stops(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    rows = [chat("Who are you?", "I am a tuned model.")] * 8
    spec = training_spec(max_steps=60, learning_rate=3e-2, lora={"rank": 8, "alpha": 16})
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(rows)})
    run_sft(job, heard.report)
    output = Path(job.output_dir)
    tokenizer = load_tokenizer(output / "weights")
    model = load_weights(output, torch.float32)
    prompt = tokenizer.apply_chat_template(
        rows[0]["messages"][:1], add_generation_prompt=True, return_tensors="pt"
    )
    answer = model.generate(**prompt, max_new_tokens=60, do_sample=False)
    text = tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
    assert text == "I am a tuned model.<|im_end|>", "it says what it learned, then ends"


def test_the_loss_is_the_mean_over_learned_tokens_of_all_accumulated_batches(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    """Against a loss computed here, plainly: rows of very unlike length make wrong means show."""
    rows = [chat("Hi", "yes " * n) for n in (1, 2, 30, 3, 1, 20, 2, 5)]
    data = make_dataset(rows)
    spec = training_spec(
        max_steps=1, batch_size=2, gradient_accumulation=4, lora={"rank": 2, "dropout": 0}
    )
    run_sft(make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": data}), heard.report)
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
    assert losses(heard)[1] == pytest.approx(total / count, abs=1e-4)


def test_a_model_that_cannot_select_logits_trains_alike(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_dataset(ROWS)
    for name, selects in (("a", True), ("b", False)):
        monkeypatch.setattr(
            "aiplatform.runtime.training.trainer.selects_logits", lambda _, s=selects: s
        )
        spec = training_spec(max_steps=3, gradient_accumulation=2)
        inputs = {"base_model": tiny_model, "dataset": data}
        run_sft(make_job(tmp_path / name, spec, inputs), heard.report)
    both = [m["values"]["loss"] for m in heard.of_type("metrics")]
    assert both[:3] == pytest.approx(both[3:], abs=1e-5)


def test_resume_continues_the_uninterrupted_run(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    """To more than three digits: data order, dropout, optimizer and schedule all carry on."""
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(epochs=3, gradient_accumulation=2, checkpoint_steps=2)
    whole = make_job(tmp_path / "whole", spec, inputs)
    first = run_sft(whole, heard.report)
    expected = losses(heard)
    announced = [Path(message["path"]) for message in heard.of_type("checkpoint")]
    assert [path.name for path in announced] == [f"checkpoint-{s}" for s in (2, 4, 6, 8, 9)]
    assert not announced[0].exists(), "only the newest are kept"

    # 8 lies within the third epoch; 6 exactly between two.
    for step, remaining in ((8, [9]), (9, [])):
        again = make_job(
            tmp_path / f"resumed-{step}",
            spec,
            inputs,
            resume_from=str(Path(whole.checkpoint_dir) / f"checkpoint-{step}"),
        )
        count = len(heard.of_type("metrics"))
        result = run_sft(again, heard.report)
        metrics = heard.of_type("metrics")[count:]
        assert [message["step"] for message in metrics] == remaining
        for message in metrics:
            assert message["values"]["loss"] == pytest.approx(expected[message["step"]], abs=1e-6)
        for key in ("train_loss_first", "train_loss_last", "tokens", "steps", "epochs"):
            assert result[key] == pytest.approx(first[key], abs=1e-6), key
        tuned = load_file(Path(again.output_dir) / "adapter" / "adapter_model.safetensors")
        for name, tensor in load_file(
            Path(whole.output_dir) / "adapter" / "adapter_model.safetensors"
        ).items():
            assert torch.allclose(tuned[name], tensor, atol=1e-6), name


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_resume_from_any_step_of_an_epoch(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard, step: int
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS[:12])}
    spec = training_spec(epochs=3, checkpoint_steps=step)
    stopping = make_job(tmp_path / "first", spec, inputs)
    run_sft(stopping, heard.report)
    expected = losses(heard)
    checkpoint = checkpoints.by_step(Path(stopping.checkpoint_dir))[0]
    taken = int(checkpoint.name.partition("-")[2])
    count = len(heard.of_type("metrics"))
    run_sft(make_job(tmp_path / "again", spec, inputs, resume_from=str(checkpoint)), heard.report)
    resumed = {m["step"]: m["values"]["loss"] for m in heard.of_type("metrics")[count:]}
    assert [*resumed] == [*range(taken + 1, 10)]
    assert resumed == pytest.approx({s: expected[s] for s in resumed}, abs=1e-6)


def test_an_incomplete_checkpoint_is_not_resumed_from(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(max_steps=6, checkpoint_steps=2)
    first = make_job(tmp_path, spec, inputs)
    run_sft(first, heard.report)
    newest = Path(first.checkpoint_dir) / "checkpoint-6"
    (newest / "training_state.safetensors").write_bytes(b"")
    run_sft(make_job(tmp_path / "second", spec, inputs, resume_from=str(newest)), heard.report)
    (event,) = [m for m in heard.of_type("event") if m["name"] == "resumed"]
    assert event["data"] == {"step": 4}

    gone = tmp_path / "nowhere" / "checkpoint-6"
    count = len(heard.of_type("metrics"))
    run_sft(make_job(tmp_path / "third", spec, inputs, resume_from=str(gone)), heard.report)
    assert "checkpoint_unusable" in [m["name"] for m in heard.of_type("event")]
    assert [m["step"] for m in heard.of_type("metrics")[count:]] == [*range(1, 7)]


def test_no_pickle_is_written_or_read(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was touched")

    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(max_steps=4, checkpoint_steps=2)
    first = make_job(tmp_path, spec, inputs)
    run_sft(first, heard.report)
    checkpoint = Path(first.checkpoint_dir) / "checkpoint-2"
    run_sft(make_job(tmp_path / "again", spec, inputs, resume_from=str(checkpoint)), heard.report)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".json", ".jinja", ".md", ".parquet", ".jsonl"}


def test_a_stop_leaves_a_checkpoint_of_the_last_step(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(max_steps=1000, checkpoint_steps=500)
    job = make_job(tmp_path, spec, inputs)
    send = heard.report.metrics

    def stop_at_seven(step: int, values: dict[str, float]) -> None:
        send(step, values)
        if step == 7:
            signal.raise_signal(signal.SIGTERM)

    heard.report.metrics = stop_at_seven  # type: ignore[method-assign]
    previous = signal.getsignal(signal.SIGTERM)
    heard.report.stop.listen()
    try:
        with pytest.raises(JobStopped):
            run_sft(job, heard.report)
    finally:
        signal.signal(signal.SIGTERM, previous)
    (message,) = heard.of_type("checkpoint")
    assert message["step"] == 8, "the step under way is finished first"
    assert not Path(job.output_dir).exists()


def test_a_loss_that_is_no_number_ends_the_training_with_advice(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
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
            run_sft(job, heard.report)
    assert heard.of_type("metrics")[-1]["values"]["loss"] == "NaN", "the curve shows it"


def test_a_wrong_target_module_is_said_in_words(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    spec = training_spec(max_steps=1, lora={"target_modules": ["no_such_module"]})
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(ROWS)})
    with pytest.raises(JobError, match="no_such_module"):
        run_sft(job, heard.report)


def test_named_target_modules_are_the_only_ones_trained(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    spec = training_spec(max_steps=1, lora={"rank": 4, "target_modules": ["q_proj", "v_proj"]})
    job = make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": make_dataset(ROWS)})
    run_sft(job, heard.report)
    tensors = load_file(Path(job.output_dir) / "adapter" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in tensors} == {"q_proj", "v_proj"}


def test_a_dataset_without_a_usable_row_fails_before_the_model_is_loaded(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aiplatform.runtime.training.sft.load_weights", None)
    data = make_dataset([{"messages": [{"role": "user", "content": "nobody answers"}]}])
    job = make_job(tmp_path, training_spec(), {"base_model": tiny_model, "dataset": data})
    with pytest.raises(JobError, match="None of the dataset's 1 rows can be used"):
        run_sft(job, heard.report)


def test_the_same_seed_gives_the_same_losses_and_another_seed_does_not(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_sft(
            make_job(tmp_path / name, training_spec(max_steps=4, seed=seed), inputs), heard.report
        )
    all_losses = [m["values"]["loss"] for m in heard.of_type("metrics")]
    assert all_losses[:4] == all_losses[4:8]
    assert all_losses[:4] != all_losses[8:]


def test_a_held_out_dataset_without_a_usable_row_is_named(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    nobody = make_dataset([{"messages": [{"role": "user", "content": "Hi"}]}], "held-out")
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS), "eval_dataset": nobody}
    with pytest.raises(JobError, match="None of the held-out dataset's 1 rows"):
        run_sft(make_job(tmp_path, training_spec(), inputs), heard.report)


def test_rows_are_cut_to_what_the_model_was_made_for(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, heard: Heard
) -> None:
    data = make_dataset([chat("Hi", "yes " * 700)] * 4)
    spec = training_spec(max_steps=1, max_length=4096, batch_size=1)
    result = run_sft(
        make_job(tmp_path, spec, {"base_model": tiny_model, "dataset": data}), heard.report
    )
    assert result["rows_truncated"] == 4
    assert result["tokens"] == 512
