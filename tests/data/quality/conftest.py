"""Fixtures for quality reports on a few rows, and a small tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from aiplatform.data.quality.report import make_report
from tests.data.conftest import Upload, jsonl

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

Report = Callable[..., dict[str, Any]]


@pytest.fixture
def report(upload: Upload) -> Report:
    """Return a function that makes the quality report of rows; see :func:`make_report`."""

    def make(
        rows: list[dict[str, Any]], tokenizer: Path | None = None, max_length: int = 100
    ) -> dict[str, Any]:
        upload(jsonl(*rows), "x.jsonl")
        return make_report(
            upload.output, tokenizer=tokenizer, max_length=max_length, progress=lambda _: None
        )

    return make


def found(report: dict[str, Any], code: str) -> dict[str, Any]:
    """Return the only finding with a code."""
    [finding] = [f for f in report["findings"] if f["code"] == code]
    return finding


def codes(report: dict[str, Any]) -> list[str]:
    return [f["code"] for f in report["findings"]]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a model directory with a byte-level tokenizer and a ChatML template."""
    directory = tmp_path_factory.mktemp("weights")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["hello world, this is a small corpus", "你好，世界"], trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "bos_token": {"__type": "AddedToken", "content": "<|im_start|>", "lstrip": False},
        "chat_template": TEMPLATE,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory
