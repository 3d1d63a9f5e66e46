"""Attack: a model's config.json has absurd sizes, to exhaust the machine that loads it.

Such a model must not become ready, and the import's error must name the wrong field.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.importing.run import run_import
from aiplatform.runtime.importing.shapes import check_bounds, check_shapes
from tests.runtime.conftest import (
    BASE_MODEL,
    RecordedReporter,
    make_job,
    make_recorded_reporter,
    recorded,
)
from tests.tiny_model import make_tiny_model

__all__ = ["make_recorded_reporter", "recorded"]

UPLOAD = {"type": "model_import", "model": BASE_MODEL, "source": {"kind": "upload"}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny") / "weights"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 10**12),
        ("hidden_size", -1),
        ("hidden_size", 0),
        ("hidden_size", 1e300),
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 3),
        ("vocab_size", 10**12),
        ("vocab_size", 10**6),
        ("intermediate_size", 10**15),
        ("intermediate_size", 10**5),
        ("num_attention_heads", 10**9),
        ("num_key_value_heads", 10**12),
        ("head_dim", 10**12),
        ("head_dim", 10**5),
        ("max_position_embeddings", 10**15),
    ],
)
def test_config_size_that_contradicts_weights_is_refused_and_named(
    model: Path, tmp_path: Path, recorded: RecordedReporter, field: str, value: float
) -> None:
    upload = Path(shutil.copytree(model, tmp_path / "upload"))
    config = json.loads((upload / "config.json").read_text())
    (upload / "config.json").write_text(json.dumps({**config, field: value}))
    with pytest.raises(JobError, match=rf"^config\.json says .*\b{field} = ") as refused:
        run_import(make_job(tmp_path, UPLOAD, {"source": upload}), recorded.report)
    assert not refused.value.retryable


def test_nested_config_size_out_of_bounds_is_refused() -> None:
    with pytest.raises(JobError, match=r"text_config\.hidden_size = 1000000000000, but"):
        check_bounds({"model_type": "gemma3", "text_config": {"hidden_size": 10**12}})
    with pytest.raises(JobError, match="num_key_value_heads = 1000000000000, but"):
        check_bounds({"num_key_value_heads": [4, 10**12]})


SMALL: dict[str, dict[str, Any]] = {
    "bloom": {},
    "deepseek_v3": {
        "n_routed_experts": 8, "moe_intermediate_size": 16, "first_k_dense_replace": 1,
        "q_lora_rank": 16, "kv_lora_rank": 16,
    },
    "falcon": {},
    "gemma3_text": {"head_dim": 16},
    "gpt2": {},
    "gpt_neox": {},
    "llama": {},
    "mamba": {},
    "mixtral": {"num_local_experts": 4},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 32},
    "phi3": {"pad_token_id": 0},
    "qwen3": {"head_dim": 16},
    "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 16},
}  # fmt: skip


@pytest.mark.parametrize("model_type", SMALL)
def test_config_of_each_architecture_matches_its_own_weights(model_type: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 256,
    }  # fmt: skip
    config = AutoConfig.for_model(model_type, **{**sizes, **SMALL[model_type]})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    check_bounds(config.to_dict())
    check_shapes(config, shapes)
    config.num_hidden_layers = 3
    with pytest.raises(JobError, match="but the files hold 2 layers"):
        check_shapes(config, shapes)
