"""Tests of training with FSDP, in which each of two processes holds half of the model."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform.protocol.accelerator_options import AcceleratorOptions
from aiplatform.protocol.specs import TaskSpec
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.rows import IGNORED, Encoded
from aiplatform.runtime.training import sharding
from tests.runtime.conftest import MakeDataset, make_job, training_spec
from tests.runtime.harness import Runner
from tests.runtime.training.conftest import ROWS

TASKS: TypeAdapter[Any] = TypeAdapter(TaskSpec)
SPEC = {"batch_size": 2, "eval_steps": 2, "checkpoint_steps": 2, "processes": 2}
FSDP = {"accelerator": {"fsdp": {"strategy": "full_shard"}}}


def run(tmp_path: Path, spec: dict[str, Any], inputs: dict[str, Path], **more: Any) -> Runner:
    tmp_path.mkdir(exist_ok=True)
    job = make_job(tmp_path, training_spec(**spec), inputs, ranks={"processes": 2}, **more)
    with Runner.of_job(job, tmp_path) as runner:
        assert runner.finish(150) == 0, runner.log
    return runner


def adapter(directory: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(directory / "adapter_model.safetensors")


@pytest.mark.slow
def test_sharded_training_equals_unsharded_and_saves_a_whole_model(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """Include a resumed run, and five held-out rows, which two ranks can't share evenly."""
    import torch
    from transformers import AutoModelForCausalLM

    inputs = {
        "base_model": tiny_model,
        "dataset": make_dataset(ROWS),
        "eval_dataset": make_dataset(ROWS[:5]),
    }
    spec = {**SPEC, "lora": {"rank": 4, "alpha": 8, "dropout": 0.0}}
    whole = run(tmp_path / "whole", {**spec, "max_steps": 4}, inputs)
    sharded = run(tmp_path / "sharded", {**spec, **FSDP, "max_steps": 4}, inputs)
    checkpoint = sharded.of_type("checkpoint")[0]
    assert checkpoint["step"] == 2
    again = run(
        tmp_path / "again", {**spec, **FSDP, "max_steps": 4}, inputs,
        attempt=2, resume_from=checkpoint["path"],
    )  # fmt: skip
    expected = whole.outcome["data"]
    for one, name in ((sharded, "sharded"), (again, "again")):
        result = one.outcome["data"]
        assert result["steps"] == 4
        assert result["trainable_parameters"] == expected["trainable_parameters"]
        for figure in ("train_loss_last", "eval_loss"):
            assert result[figure] == pytest.approx(expected[figure], rel=1e-3)
        output = tmp_path / name / "output"
        ours, theirs = adapter(output / "adapter"), adapter(tmp_path / "whole/output/adapter")
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-2, atol=1e-4)
        model = AutoModelForCausalLM.from_pretrained(output / "weights")
        base = AutoModelForCausalLM.from_pretrained(tiny_model / "weights")
        assert model.num_parameters() == base.num_parameters()
    # The optimizer state is keyed by the names of the weights, although these are sharded.
    state = dict(json.loads((Path(checkpoint["path"]) / "training_state.json").read_text())["dict"])
    assert "random_of_others" in state
    names = {name for name, _ in dict(state["optimizer"]["dict"])["state"]["dict"]}
    assert len(names) == len(ours)
    assert all(".lora_" in name for name in names)


@pytest.mark.slow
def test_training_with_shard_grad_op_in_bf16_succeeds(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    fsdp = {"strategy": "shard_grad_op", "layers": ["LlamaDecoderLayer"]}
    spec = {**SPEC, "accelerator": {"fsdp": fsdp}, "precision": "bf16", "max_steps": 2}
    result = run(tmp_path / "job", spec, inputs).outcome["data"]
    assert (result["steps"], result["precision"]) == (2, "bf16")
    assert (tmp_path / "job/output/weights/config.json").is_file()


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ({}, False),
        ({"resources": {"gpus": 1}}, False),
        ({"resources": {"gpus": 2}}, True),
        ({"processes": 2}, True),
        ({"nodes": 2}, True),
        ({"nodes": 2, "processes": 1}, True),
    ],
)
def test_fsdp_with_a_single_process_is_refused(fields: dict[str, Any], accepted: bool) -> None:
    spec = training_spec(**FSDP, **fields)
    if accepted:
        assert TASKS.validate_python(spec).accelerator.fsdp.strategy == "full_shard"
    else:
        with pytest.raises(ValidationError, match="needs two processes or more"):
            TASKS.validate_python(spec)


@pytest.mark.parametrize(
    "fsdp", [{"strategy": "hybrid"}, {"layers": []}, {"layers": ["a b"]}, {"offload": True}]
)
def test_invalid_fsdp_options_are_refused(fsdp: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AcceleratorOptions.model_validate({"fsdp": fsdp})


def test_require_shardable_refuses_unknown_layers_and_quantized_weights(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model / "weights")
    wanted = AcceleratorOptions.model_validate({"fsdp": {"layers": ["LlamaDecoderLayer"]}})
    sharding.require_shardable(model, wanted)
    wrong = AcceleratorOptions.model_validate({"fsdp": {"layers": ["GPT2Block"]}})
    with pytest.raises(JobError, match=r"has no GPT2Block; its decoder layers are LlamaDecoder"):
        sharding.require_shardable(model, wrong)
    quantized = SimpleNamespace(config=SimpleNamespace(quantization_config={}), modules=list)
    with pytest.raises(JobError, match="the base model is quantized"):
        sharding.require_shardable(quantized, wanted)
    sharding.require_shardable(quantized, None)
    sharding.require_shardable(quantized, AcceleratorOptions())


def test_trainer_options_contain_the_fsdp_options(tiny_model: Path) -> None:
    assert sharding.trainer_options(None) == {}
    assert "fsdp" not in sharding.trainer_options(AcceleratorOptions())
    given = AcceleratorOptions.model_validate(
        {"even_batches": False, "fsdp": {"strategy": "shard_grad_op", "layers": ["A"]}}
    )
    options = sharding.trainer_options(given)
    assert options["fsdp"] is True
    assert options["fsdp_config"]["reshard_after_forward"] is False
    assert options["fsdp_config"]["transformer_layer_cls_to_wrap"] == ["A"]
    assert options["accelerator_config"]["even_batches"] is False
    assert "fsdp" not in options["accelerator_config"]


@pytest.mark.parametrize(("total", "count"), [(1, 3), (5, 2), (6, 3), (7, 4)])
def test_as_many_gives_all_ranks_equally_many_rows_and_counts_each_once(
    total: int, count: int
) -> None:
    rows = [
        Encoded(np.array([n, n], dtype=np.int32), np.array([n, n], dtype=np.int32))
        for n in range(total)
    ]
    shares = [sharding.equal_share(rows, own, count) for own in range(count)]
    assert len({len(share) for share in shares}) == 1
    counted = [row for share in shares for row in share if (row.labels != IGNORED).any()]
    assert sorted(int(row.input_ids[0]) for row in counted) == list(range(total))
