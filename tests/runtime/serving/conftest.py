"""A tiny tuned model with random weights and a random adapter."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tuned_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a tuned model whose answers differ from those of its base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = tmp_path_factory.mktemp("tuned")
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(str(tiny_model / "weights"))
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(model, config)
    adapted.save_pretrained(str(directory / "adapter"))
    adapted.merge_and_unload().save_pretrained(str(directory / "weights"))
    AutoTokenizer.from_pretrained(str(tiny_model / "weights")).save_pretrained(
        str(directory / "weights")
    )
    return directory
