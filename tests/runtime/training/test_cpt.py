"""Tests of continued pre-training with a tiny model: blocks, replay, results and resuming."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.evaluation.loss import token_losses
from aiplatform.runtime.loading import load_weights
from aiplatform.runtime.packing import mix, pack
from aiplatform.runtime.rows import encode_dataset
from aiplatform.runtime.training import checkpoints
from aiplatform.runtime.training.cpt import run_cpt
from tests.runtime.conftest import (
    BASE_MODEL,
    MakeDataset,
    RecordedReporter,
    chat,
    make_job,
    training_spec,
)
from tests.runtime.training.conftest import losses
from tests.tiny_model import make_tiny_model

TEXTS = [{"text": f"The sum of {i} and one is {i + 1}, as anyone can count."} for i in range(40)]

OTHER = {"dataset": BASE_MODEL, "version": "v1"}
EVALUATED, REPLAYED = {"eval_dataset": OTHER}, {"replay_dataset": OTHER}


def test_training_lowers_the_held_out_perplexity_and_writes_a_model(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {
        "base_model": tiny_model,
        "dataset": make_dataset(TEXTS[:32]),
        "eval_dataset": make_dataset(TEXTS[32:], "held-out"),
    }
    spec = training_spec(method="cpt", epochs=8, eval_steps=2, max_length=64) | EVALUATED
    job = make_job(tmp_path, spec, inputs)
    result = run_cpt(job, recorded.report)
    series = [
        m["values"]["eval_loss"] for m in recorded.of_type("metrics") if "eval_loss" in m["values"]
    ]
    assert result["eval_loss"] < series[0] - 0.5
    assert result["perplexity"] == pytest.approx(math.exp(result["eval_loss"]))
    assert result["rows"] == 32
    assert (result["rows_truncated"], result["rows_dropped"]) == (0, 0)
    assert result["steps"] == 8 * math.ceil(result["blocks"] / 4)
    assert (Path(job.output_dir) / "adapter" / "adapter_model.safetensors").is_file()
    assert "method cpt (LoRA, rank 4)" in (Path(job.output_dir) / "README.md").read_text()

    # The saved model has the perplexity that was measured last.
    tokenizer = load_tokenizer(Path(job.output_dir) / "weights")
    rows = encode_dataset(inputs["eval_dataset"], tokenizer, max_length=1000)
    model = load_weights(Path(job.output_dir), torch.float32)
    blocks = pack(rows, tokenizer, length=64)
    mean = token_losses(model, blocks, pad=tokenizer.pad_token_id, batch_size=4)
    assert mean is not None
    assert mean.perplexity == pytest.approx(result["perplexity"], rel=1e-3)


def test_blocks_contain_each_token_once_with_the_end_token_between_texts(
    tiny_model: Path, make_dataset: MakeDataset
) -> None:
    tokenizer = load_tokenizer(tiny_model / "weights")
    rows = encode_dataset(make_dataset(TEXTS), tokenizer, max_length=1000)
    length = next(n for n in range(50, 60) if rows.tokens % n > 1)
    blocks = pack(rows, tokenizer, length=length)
    assert {len(block.input_ids) for block in blocks[:-1]} == {length}
    joined = tokenizer.decode(np.concatenate([block.input_ids for block in blocks]))
    assert joined == "".join(row["text"] + tokenizer.eos_token for row in TEXTS)
    assert all(np.array_equal(block.input_ids, block.labels) for block in blocks)

    shuffled = pack(rows, tokenizer, length=50, seed=1)
    assert not np.array_equal(shuffled[0].input_ids, blocks[0].input_ids)
    again = pack(rows, tokenizer, length=50, seed=1)
    assert all(
        np.array_equal(a.input_ids, b.input_ids) for a, b in zip(shuffled, again, strict=True)
    )


def test_blocks_begin_texts_with_the_start_token_if_the_tokenizer_does(
    tiny_model: Path, make_dataset: MakeDataset
) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = load_tokenizer(tiny_model / "weights")
    start = (tokenizer.bos_token, tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{start[0]} $A", special_tokens=[start]
    )
    rows = encode_dataset(make_dataset(TEXTS), tokenizer, max_length=1000)
    blocks = pack(rows, tokenizer, length=10_000)
    assert list(blocks[0].input_ids).count(start[1]) == len(TEXTS)
    assert blocks[0].input_ids[0] == start[1]


@pytest.mark.parametrize(("share", "expected"), [(0.1, 10), (0.5, 90), (0.9, 200)])
def test_mix_adds_the_share_of_other_blocks_each_at_most_once(share: float, expected: int) -> None:
    blocks, other = [object()] * 90, [object() for _ in range(200)]
    mixed = mix(blocks, other, share)  # type: ignore[arg-type]
    assert mixed[90:] == other[:expected]


def test_replay_mixes_in_conversations(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    conversations = [chat(f"Who is number {i}?", "Nobody.") for i in range(40)]
    inputs = {
        "base_model": tiny_model,
        "dataset": make_dataset(TEXTS),
        "replay_dataset": make_dataset(conversations, "replay"),
    }
    spec = training_spec(method="cpt", max_steps=2, max_length=64, replay_share=0.25) | REPLAYED
    result = run_cpt(make_job(tmp_path, spec, inputs), recorded.report)
    events = {m["name"]: m["data"] for m in recorded.of_type("event")}
    assert events["replay_rows"]["share"] == pytest.approx(0.25, abs=0.03)
    assert events["rows"]["blocks"] + events["replay_rows"]["blocks"] == result["blocks"]


def test_resumed_training_equals_an_uninterrupted_one(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(TEXTS)}
    spec = training_spec(method="cpt", epochs=4, checkpoint_steps=3, max_length=64)
    whole = make_job(tmp_path / "whole", spec, inputs)
    run_cpt(whole, recorded.report)
    expected = losses(recorded)
    checkpoint = checkpoints.list_checkpoints(Path(whole.checkpoint_dir))[0]
    step = int(checkpoint.name.partition("-")[2])
    count = len(recorded.of_type("metrics"))
    again = make_job(tmp_path / "again", spec, inputs, resume_from=str(checkpoint))
    run_cpt(again, recorded.report)
    resumed = {m["step"]: m["values"]["loss"] for m in recorded.of_type("metrics")[count:]}
    assert [*resumed] == [*range(step + 1, max(expected) + 1)]
    assert resumed == pytest.approx({s: expected[s] for s in resumed}, abs=1e-6)


def test_full_tuning_writes_no_adapter(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(TEXTS)}
    spec = training_spec(method="cpt", max_steps=6, tuning="full", learning_rate=1e-3)
    job = make_job(tmp_path, spec, inputs)
    result = run_cpt(job, recorded.report)
    assert result["train_loss_last"] < result["train_loss_first"]
    assert not (Path(job.output_dir) / "adapter").exists()


def test_texts_without_content_are_refused(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {
        "base_model": tiny_model,
        "dataset": make_dataset(TEXTS),
        "replay_dataset": make_dataset([{"text": " "}] * 3, "replay"),
    }
    spec = training_spec(method="cpt") | REPLAYED
    with pytest.raises(JobError, match="None of the replay dataset's 3 rows can be used"):
        run_cpt(make_job(tmp_path, spec, inputs), recorded.report)


def test_model_without_end_token_is_refused(
    make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    model = make_tiny_model(tmp_path / "endless")
    tokenizer = load_tokenizer(model / "weights")
    tokenizer.eos_token = None
    tokenizer.save_pretrained(model / "weights")
    inputs = {"base_model": model, "dataset": make_dataset(TEXTS)}
    with pytest.raises(JobError, match="no end token"):
        run_cpt(make_job(tmp_path, training_spec(method="cpt"), inputs), recorded.report)
