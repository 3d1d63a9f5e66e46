"""Tests of embedding training with a tiny encoder: results, files, resuming, refused data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aiplatform.protocol.trainings import parse_training
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.training import checkpoints
from aiplatform.runtime.training.embedding import run_embedding
from aiplatform.runtime.training.embedding_trainer import retrieval_figures
from tests.runtime.conftest import (
    BASE_MODEL,
    MakeDataset,
    RecordedReporter,
    make_job,
    training_spec,
)
from tests.runtime.training.conftest import losses

PARTNERS = {"cat": "lion", "red": "film", "one": "fox", "dog": "paris", "six": "green"}
PAIRS = [
    {"anchor": f"{before} {word}", "positive": f"{other} {after}"}
    for before in ("i like", "which", "how is")
    for after in ("is good", "much", "very quick")
    for word, other in PARTNERS.items()
]
TRIPLETS = [{**row, "negative": f"the {row['anchor'].split()[-1]}"} for row in PAIRS]
WORDS = list(PARTNERS)
SCORED = [
    {"sentence1": f"i like {a}", "sentence2": f"{PARTNERS[b]} is good", "score": float(a == b)}
    for a in WORDS
    for b in WORDS
]
HELD_OUT = {"eval_dataset": {"dataset": BASE_MODEL, "version": "v1"}}
Train = Callable[..., tuple[Any, dict[str, Any]]]


@pytest.fixture
def train(
    tiny_encoder: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> Train:
    """Return a function that trains a model on rows and returns the job and its result."""

    def run(
        rows: list[dict[str, Any]] = PAIRS,
        held_out: list[dict[str, Any]] | None = None,
        name: str = "job",
        resume_from: str | None = None,
        **options: Any,
    ) -> tuple[Any, dict[str, Any]]:
        inputs = {"base_model": tiny_encoder, "dataset": make_dataset(rows)}
        if held_out is not None:
            inputs["eval_dataset"] = make_dataset(held_out, "held-out")
            options |= HELD_OUT
        options = {"batch_size": 5, "learning_rate": 2e-3, **options}
        spec = training_spec(method="embedding", **options)
        job = make_job(tmp_path / name, spec, inputs, resume_from=resume_from)
        return job, run_embedding(job, recorded.report)

    return run


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_training_finds_the_texts_that_belong_together(train: Train, tuning: str) -> None:
    held_out = [{"anchor": one, "positive": other} for one, other in PARTNERS.items()]
    job, result = train(held_out=held_out, epochs=10, tuning=tuning)
    assert result["eval_recall_at_1"] >= result["base"]["eval_recall_at_1"] + 0.4
    assert result["eval_mrr"] > result["base"]["eval_mrr"]
    assert result["eval_ndcg_at_10"] > result["base"]["eval_ndcg_at_10"]
    assert result["eval_loss"] < result["base"]["eval_loss"]
    output = Path(job.output_dir)
    assert (output / "adapter").exists() == (tuning == "lora")
    card = (output / "README.md").read_text()
    assert "pipeline_tag: feature-extraction" in card
    assert "eval_recall_at_1" in card


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_saved_model_gives_the_same_vectors_in_sentence_transformers(
    train: Train, pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer

    from aiplatform.runtime.chat import load_tokenizer
    from aiplatform.runtime.loading import load_encoder
    from aiplatform.runtime.training.embedding_trainer import collate, vectors

    job, _ = train(max_steps=2, pooling=pooling)
    output = Path(job.output_dir)
    texts = ["I like red", "two green lions like Paris very much"]
    theirs = SentenceTransformer(str(output / "weights"), device="cpu").encode(texts)
    tokenizer = load_tokenizer(output / "weights", chat=False)
    rows = [{"texts": (tokenizer(text)["input_ids"],), "score": None} for text in texts]
    batch = collate(rows, pad=tokenizer.pad_token_id)
    with torch.no_grad():
        ours = vectors(load_encoder(output, torch.float32).eval(), batch, pooling)
    assert torch.allclose(torch.as_tensor(theirs), ours, atol=1e-5)
    pooled = json.loads((output / "weights" / "1_Pooling" / "config.json").read_text())
    assert pooled["pooling_mode_cls_token"] == (pooling == "cls")


def test_training_on_triplets_pushes_negatives_away(train: Train) -> None:
    _, result = train(TRIPLETS, TRIPLETS[:5], epochs=6)
    assert result["eval_recall_at_1"] > result["base"]["eval_recall_at_1"]


def test_training_on_scored_pairs_orders_them_by_score(train: Train) -> None:
    _, result = train(SCORED, SCORED, epochs=20)
    assert result["eval_spearman"] >= result["base"]["eval_spearman"] + 0.2
    assert "eval_recall_at_1" not in result


def test_resumed_training_equals_an_uninterrupted_one(
    train: Train, recorded: RecordedReporter
) -> None:
    options = {"max_steps": 8, "checkpoint_steps": 4, "gradient_accumulation": 2}
    whole, _ = train(**options)
    expected = losses(recorded)
    checkpoint = checkpoints.list_checkpoints(Path(whole.checkpoint_dir))[0]
    count = len(recorded.of_type("metrics"))
    train(name="again", resume_from=str(checkpoint), **options)
    resumed = {m["step"]: m["values"]["loss"] for m in recorded.of_type("metrics")[count:]}
    assert resumed == pytest.approx({step: expected[step] for step in (5, 6, 7, 8)}, abs=1e-6)


def test_rows_without_a_text_or_score_are_dropped(train: Train) -> None:
    bad = [{"anchor": " ", "positive": "much"}, {"anchor": "red", "positive": None}]
    _, result = train([*PAIRS, *bad], max_steps=1)
    assert (result["rows"], result["rows_dropped"]) == (len(PAIRS) + 2, 2)
    _, result = train([*SCORED, {**SCORED[0], "score": None}], name="scored", max_steps=1)
    assert result["rows_dropped"] == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (PAIRS[:1], r"Only 1 of the dataset's 1 rows can be used.*needs anchor and positive\."),
        ([{**row, "score": 0.5} for row in SCORED], "All pairs of the dataset have the score 0.5"),
        ([{**row, "score": "high"} for row in SCORED], "and a score that is a number"),
        ([{"text": "a"}, {"text": "b"}], "of the shape 'text'; embeddings are learned from pairs"),
    ],
)
def test_unusable_rows_are_refused_with_a_reason(
    train: Train, rows: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(JobError, match=words):
        train(rows)


def test_figures_are_those_of_a_known_order() -> None:
    vectors = torch.eye(3)
    anchors = torch.stack([vectors[0], vectors[1] * 0.6 + vectors[2] * 0.8, vectors[0]])
    found = retrieval_figures([["p", "q", "p"], ["a", "b", "c"]], [anchors, vectors])
    # For query p, a ranks first and c third, because c ties with b but comes later. For q, b
    # ranks second.
    assert found["eval_recall_at_1"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["eval_recall_at_10"] == 1
    assert found["eval_mrr"] == pytest.approx((1 + 1 / 2) / 2)
    second, third = 0.6309297536, 0.5
    assert found["eval_ndcg_at_10"] == pytest.approx(
        ((1 + third) / (1 + second) + second) / 2, abs=1e-6
    )


def test_several_processes_and_batches_of_one_row_are_refused() -> None:
    with pytest.raises(ValueError, match="trains in one process"):
        parse_training(training_spec(method="embedding", processes=2))
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        parse_training(training_spec(method="embedding", batch_size=1))
