"""Tests of evaluations, which compare a base and a tuned model on the same rows."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.evaluation.answers import question_of, sample_evenly, up_to_last_answer
from aiplatform.runtime.evaluation.loss import TokenLoss, token_losses
from aiplatform.runtime.evaluation.run import run_evaluation
from aiplatform.runtime.loading import load_weights
from aiplatform.runtime.rows import encode_dataset
from aiplatform.runtime.training.sft import run_sft
from tests.runtime.conftest import (
    BASE_MODEL,
    MakeDataset,
    RecordedReporter,
    chat,
    make_job,
    training_spec,
)

ROWS = [chat(f"What is {i} plus one?", f"It is {i + 1}.") for i in range(12)]
UNLIKE = [chat("Hi", "yes " * n) for n in (1, 30, 2, 3, 25, 1, 4)]


def evaluation_spec(**options: Any) -> dict[str, Any]:
    return {
        "type": "evaluation",
        "model": BASE_MODEL,
        "dataset": {"dataset": BASE_MODEL, "version": "v1"},
        "precision": "fp32",
        "max_length": 128,
        "batch_size": 3,
        "max_new_tokens": 12,
        **options,
    }


@pytest.fixture(scope="module")
def tuned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine-tune a model and return its directory."""
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    from aiplatform.runtime.channel import Reporter

    directory = tmp_path_factory.mktemp("tuned")
    metadata = {"aiplatform.shape": "chat", "aiplatform.format": "jsonl"}
    table = pa.Table.from_pylist(ROWS).replace_schema_metadata(metadata)
    pq.write_table(table, directory / "rows.parquet")
    spec = training_spec(max_steps=40)
    inputs = {"base_model": tiny_model, "dataset": directory / "rows.parquet"}
    sink = os.open(os.devnull, os.O_WRONLY)
    run_sft(make_job(directory, spec, inputs), Reporter(sink))
    os.close(sink)
    return directory / "output"


def plain_loss(model: Path, data: Path) -> TokenLoss:
    """Return the loss by its definition, computed row by row and without padding."""
    loaded = load_weights(model, torch.float32)
    tokenizer = load_tokenizer(model / "weights")
    total, count = 0.0, 0
    for row in encode_dataset(data, tokenizer, max_length=128).rows:
        labels = torch.from_numpy(row.labels).long()[1:]
        with torch.no_grad():
            logits = loaded(torch.from_numpy(row.input_ids).long().unsqueeze(0)).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        count += int((labels != -100).sum())
    return TokenLoss(total / count, count)


def test_evaluation_of_a_tuned_model_compares_it_with_its_base(
    tuned: Path,
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    data = make_dataset(ROWS)
    inputs = {"model": tuned, "base_model": tiny_model, "dataset": data}
    result = run_evaluation(make_job(tmp_path, evaluation_spec(answers=3), inputs), recorded.report)
    assert result["rows"] == 12
    for name, model in (("base", tiny_model), ("model", tuned)):
        expected = plain_loss(model, data)
        assert result[name]["loss"] == pytest.approx(expected.loss, abs=1e-4), name
        assert result[name]["perplexity"] == pytest.approx(math.exp(result[name]["loss"]))
        assert result["tokens"] == expected.tokens
    assert result["model"]["loss"] < result["base"]["loss"] - 1
    questions = [answer["question"] for answer in result["answers"]]
    assert questions == [f"What is {i} plus one?" for i in (0, 4, 8)], "spread over the rows"
    for answer, i in zip(result["answers"], (0, 4, 8), strict=True):
        assert answer["expected"] == f"It is {i + 1}."
        assert answer["model"] != answer["base"]
    progress = [message["value"] for message in recorded.of_type("progress")]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


def test_evaluation_on_labelled_answers_reads_only_the_good_ones(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    rows = [
        {"prompt": f"What is {i}?", "completion": "A number.", "label": i % 2 == 0}
        for i in range(6)
    ]
    inputs = {"model": tiny_model, "dataset": make_dataset(rows)}
    result = run_evaluation(make_job(tmp_path, evaluation_spec(answers=9), inputs), recorded.report)
    assert result["tokens"] == plain_loss(tiny_model, make_dataset(rows[::2])).tokens
    assert [a["question"] for a in result["answers"]] == [f"What is {i}?" for i in (0, 2, 4)]


def test_evaluation_of_a_base_model_has_no_comparison(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"model": tiny_model, "dataset": make_dataset(ROWS)}
    result = run_evaluation(make_job(tmp_path, evaluation_spec(answers=1), inputs), recorded.report)
    assert "base" not in result
    assert {*result["answers"][0]} == {"question", "expected", "model"}


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_the_batch_size_changes_nothing(
    tiny_model: Path, make_dataset: MakeDataset, batch_size: int
) -> None:
    data = make_dataset(UNLIKE)
    tokenizer = load_tokenizer(tiny_model / "weights")
    rows = encode_dataset(data, tokenizer, max_length=128).rows
    model = load_weights(tiny_model, torch.float32)
    mean = token_losses(model, rows, pad=tokenizer.pad_token_id, batch_size=batch_size)
    assert mean is not None
    expected = plain_loss(tiny_model, data)
    assert mean.tokens == expected.tokens
    assert mean.loss == pytest.approx(expected.loss, abs=1e-5)


def test_model_that_cannot_select_logits_has_the_same_loss(
    tiny_model: Path, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiplatform.runtime.evaluation.loss.selects_logits", lambda _: False)
    test_the_batch_size_changes_nothing(tiny_model, make_dataset, 3)


def test_answers_do_not_depend_on_the_batch_size(
    tuned: Path,
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    rows = [chat(f"What is {'very ' * i}{i} plus one?", "x") for i in range(5)]
    inputs = {"model": tuned, "base_model": tiny_model, "dataset": make_dataset(rows)}
    by_size = [
        run_evaluation(
            make_job(tmp_path, evaluation_spec(answers=5, batch_size=size), inputs), recorded.report
        )["answers"]
        for size in (1, 5)
    ]
    assert by_size[0] == by_size[1]


def test_max_rows_limits_evaluation_to_the_first_rows(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = evaluation_spec(max_rows=2, answers=5)
    result = run_evaluation(make_job(tmp_path, spec, inputs), recorded.report)
    assert result["rows"] == 2
    assert [answer["question"] for answer in result["answers"]] == [
        "What is 0 plus one?",
        "What is 1 plus one?",
    ]


def test_evaluation_on_plain_text_has_no_answers(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"model": tiny_model, "dataset": make_dataset([{"text": "Once upon a time."}])}
    result = run_evaluation(make_job(tmp_path, evaluation_spec(), inputs), recorded.report)
    assert result["answers"] == []
    assert result["tokens"] > 0


def test_evaluation_without_usable_rows_raises_job_error(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    data = make_dataset([chat("word " * 200, "too late")])
    job = make_job(tmp_path, evaluation_spec(), {"model": tiny_model, "dataset": data})
    with pytest.raises(JobError, match="None of the dataset's 1 rows can be used"):
        run_evaluation(job, recorded.report)


def test_spread_returns_distinct_questions_of_the_whole_dataset() -> None:
    conversations = [chat(question, "x")["messages"] for question in "aabbccdd"]
    assert [question_of(chosen) for chosen in sample_evenly(conversations, 2)] == ["a", "c"]
    assert [question_of(chosen) for chosen in sample_evenly(conversations, 9)] == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_up_to_last_answer_cuts_after_the_last_answer() -> None:
    messages = chat("a", "b", "c")["messages"]
    assert up_to_last_answer(messages) == messages[:2]
    assert up_to_last_answer(messages[:1]) is None
    assert up_to_last_answer(messages[1:2]) is None, "an answer to nothing is no question"
    assert up_to_last_answer(None) is None


def test_perplexity_too_large_for_a_float_is_infinite() -> None:
    assert TokenLoss(1e4, 1).perplexity == math.inf


def test_evaluation_of_a_model_without_adapter_compares_it_with_its_base(
    tuned: Path,
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
) -> None:
    """Check that a model with merged weights gets the same results as with an adapter."""
    merged = tmp_path / "merged"
    shutil.copytree(tuned, merged, ignore=shutil.ignore_patterns("adapter"))
    data = make_dataset(ROWS)
    results = [
        run_evaluation(
            make_job(
                tmp_path / model.name,
                evaluation_spec(answers=2),
                {"model": model, "base_model": tiny_model, "dataset": data},
            ),
            recorded.report,
        )
        for model in (tuned, merged)
    ]
    for name in ("model", "base"):
        assert results[0][name]["loss"] == pytest.approx(results[1][name]["loss"], abs=1e-4)
    assert results[0]["answers"] == results[1]["answers"]
