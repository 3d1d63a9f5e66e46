"""Tests of the conversion of GGUF files. Damaged files are in tests/attacks/test_gguf.py."""

from pathlib import Path
from typing import Any

import gguf
import pytest
from gguf.gguf_reader import GGUFReader
from transformers import AutoConfig, AutoTokenizer

from aiplatform.runtime.importing.gguf import parsed_once


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that receives the path of a file each time the package gguf parses it."""
    files: list[str] = []
    original = GGUFReader.__init__

    def init(self: GGUFReader, path: Any, *args: Any, **options: Any) -> None:
        files.append(str(path))
        original(self, path, *args, **options)

    monkeypatch.setattr(GGUFReader, "__init__", init)
    return files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a GGUF file with a configuration, a vocabulary, and one weight."""
    import numpy as np

    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_feed_forward_length(16)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab", "<s>"])
    writer.add_token_types([1, 1, 1, 3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_tensor("token_embd.weight", np.zeros((4, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def read(file: Path) -> None:
    """Read the configuration and the tokenizer with transformers, as a conversion does."""
    AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name)
    AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)


def test_gguf_file_is_parsed_once_for_all_that_transformers_reads(
    file: Path, parsed: list[str]
) -> None:
    with parsed_once():
        read(file)
    assert parsed == [str(file)]


def test_gguf_file_is_parsed_anew_for_the_next_import(file: Path, parsed: list[str]) -> None:
    """Parse again, because the next import may have a different file with the same name."""
    with parsed_once():
        read(file)
    with parsed_once():
        read(file)
    assert parsed == [str(file)] * 2
    assert gguf.GGUFReader is GGUFReader
