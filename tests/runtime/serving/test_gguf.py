"""Tests of the conversion to GGUF: model families, tokenizers, samples and the cache."""

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.runtime.serving.gguf import cache as gguf_cache
from aiplatform.runtime.serving.gguf.architectures import obstacle
from aiplatform.runtime.serving.gguf.cache import NotConvertible, converted
from aiplatform.runtime.serving.gguf.convert import convert
from aiplatform.runtime.serving.gguf.samples import fold_system, make_samples
from aiplatform.runtime.serving.gguf.vocabulary import (
    SPLITS,
    UnknownTokenizer,
    kind_of,
)
from tests.runtime.harness import Runner
from tests.runtime.serving.test_llama_cpp import QUESTIONS, ask, greedy, make_job
from tests.runtime.serving.test_server import Served
from tests.tiny_model import make_tiny_model

SHAPE = {
    "vocab_size": 384,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "Mistral": {"head_dim": 32},
    "Qwen2": {"tie_word_embeddings": False},
    "Qwen3": {"head_dim": 32, "tie_word_embeddings": True},
    "Llama": {"rope_parameters": LLAMA3_ROPE, "attention_bias": True},
}


def make_family(directory: Path, family: str) -> Path:
    """Make a tiny model of ``family`` with random weights and biases."""
    import torch
    import transformers

    model = make_tiny_model(directory)
    options = FAMILIES[family]
    config = getattr(transformers, f"{family}Config")(**SHAPE, **options)
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 1, 2, 2
    torch.manual_seed(5)
    made = getattr(transformers, f"{family}ForCausalLM")(config)
    for name, weight in made.named_parameters():
        if name.endswith(".bias"):  # biases are initialized to zero
            weight.data.normal_(std=0.2)
    shutil.rmtree(model / "weights" / "model.safetensors", ignore_errors=True)
    made.save_pretrained(model / "weights")
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_converted_families_answer_as_in_transformers(family: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = make_family(tmp_path / "model", family)
    job = make_job(tmp_path, model, None, tmp_path / "cache")
    question = " ".join(QUESTIONS * 2)  # long enough for scaled positions
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        for text in (question, *QUESTIONS[:3]):
            # Later tokens may differ, because llama.cpp stores keys and values with 16 bits.
            assert ask(served, text, max_tokens=6) == greedy(model, text, 6)


def test_rope_factors_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from aiplatform.runtime.serving.gguf.convert import rope_factors

    config = LlamaConfig(**SHAPE, rope_parameters=LLAMA3_ROPE)
    expected, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 10000.0 ** (-np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(plain / rope_factors(config.to_dict()), expected, rtol=1e-5)
    assert len({*rope_factors(config.to_dict()).tolist()}) > 2


def sentencepiece_model(directory: Path) -> Path:
    """Make a tiny model with a tokenizer like Llama 2's, with space marks and byte tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    from tests.tiny_model import CHAT_TEMPLATE, CORPUS

    model = make_tiny_model(directory)
    specials = ["<unk>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=[*specials, *(f"<0x{value:02X}>" for value in range(256))],
        show_progress=False,
        limit_alphabet=60,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    described = json.loads(tokenizer.to_str())
    described["added_tokens"] = described["added_tokens"][:3]  # byte tokens are ordinary tokens
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(described)),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<unk>",
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(model / "weights")
    return model


def test_tokenizer_with_bytes_and_marks_for_spaces_is_converted(tmp_path: Path) -> None:
    """The server compares its tokens with those of transformers before it becomes ready."""
    pytest.importorskip("xllamacpp")
    model = sentencepiece_model(tmp_path / "model")
    job = make_job(tmp_path, model, None, tmp_path / "cache")
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        assert ask(served, "Hello, how are you?") == greedy(model, "Hello, how are you?")


def test_template_without_system_role_gets_the_message_in_front(tmp_path: Path) -> None:
    from aiplatform.runtime.chat import load_tokenizer, render

    template = (
        "{% for message in messages %}{% if message['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    model = make_tiny_model(tmp_path / "model", chat_template=template)
    tokenizer = load_tokenizer(model / "weights")
    samples = make_samples(tokenizer)
    assert samples.folds_system
    assert len(samples.samples) == 3
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    folded = render(tokenizer, fold_system(messages), answer_next=True)
    assert folded == render(tokenizer, messages, answer_next=True)

    pytest.importorskip("xllamacpp")
    job = make_job(tmp_path, model, None, tmp_path / "cache")
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        answers = [
            served.chat(model="model", messages=some).json()["choices"]
            for some in (messages, [{"role": "user", "content": "a\n\nb"}])
        ]
    assert answers[0] == answers[1]


def test_model_without_a_template_gets_the_plain_one(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = make_tiny_model(tmp_path / "model", chat_template=None)
    job = make_job(tmp_path, model, None, tmp_path / "cache")
    with Runner.of_job(job, tmp_path) as runner:
        served = Served(runner, runner.wait_for("ready", 120)["endpoint"])
        assert ask(served, "Hello") == greedy(model, "Hello")


def test_splits_of_known_tokenizers_are_named() -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    plain = {**byte_level, "use_regex": False}
    digits = {"type": "Digits", "individual_digits": True}

    def named(*steps: dict[str, Any]) -> str:
        inner = {"type": "Sequence", "pretokenizers": list(steps)}
        return kind_of({"pre_tokenizer": inner, "model": {}})[1]

    assert named(byte_level) == "gpt-2"
    assert named(digits, byte_level) == "smollm"
    for pattern, name in SPLITS.items():
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
        assert named(split, plain) == name
    with pytest.raises(UnknownTokenizer, match="unknown way"):
        named({"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated"}, plain)
    with pytest.raises(UnknownTokenizer, match="arbitrary bytes"):
        kind_of({"pre_tokenizer": None, "model": {}})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"architectures": ["OtherForCausalLM"]}, "OtherForCausalLM"),
        ({"quantization_config": {}}, "quantized"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "longrope"),
    ],
)
def test_models_that_would_be_converted_wrongly_are_refused(
    tiny_model: Path, tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    config = json.loads((tiny_model / "weights" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    assert word in (obstacle(tmp_path) or "")
    assert obstacle(tiny_model / "weights") is None


def test_sliding_window_limits_the_context(tmp_path: Path) -> None:
    import gguf

    model = make_family(tmp_path / "model", "Mistral")
    file = model / "weights" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sliding_window": 128}))
    (tmp_path / "out").mkdir()
    convert(model / "weights", "f32", tmp_path / "out")
    fields = gguf.GGUFReader(tmp_path / "out" / "model.gguf").fields
    assert fields["llama.context_length"].contents() == 128


def test_changed_weights_are_converted_again(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    cache = tmp_path / "cache"
    first = converted(model, "f32", cache).file
    assert converted(model, "f32", cache).file == first
    assert converted(model, "f16", cache).file != first
    shutil.copytree(make_tiny_model(tmp_path / "other", seed=9), model, dirs_exist_ok=True)
    assert converted(model, "f32", cache).file != first


def test_failed_conversion_leaves_no_entry(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "weights" / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    with pytest.raises((NotConvertible, gguf_cache.ConversionFailed)):
        converted(model, "f32", tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_simultaneous_starts_convert_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fills = []
    real = gguf_cache._fill

    def fill(*arguments: Any) -> None:
        fills.append(arguments)
        real(*arguments)

    monkeypatch.setattr(gguf_cache, "_fill", fill)
    files: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: files.append(converted(tiny_model, "f32", tmp_path / "c").file)
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fills) == 1
    assert len(set(files)) == 1
    assert len(files) == 3


def test_entries_that_nobody_used_for_long_are_deleted(tiny_model: Path, tmp_path: Path) -> None:
    old = converted(tiny_model, "f32", tmp_path).file
    past = time.time() - gguf_cache.UNUSED_SECONDS - 10
    os.utime(old.parent, (past, past))
    converted(tiny_model, "f16", tmp_path)
    assert not old.exists()
    assert converted(tiny_model, "f32", tmp_path).file == old
