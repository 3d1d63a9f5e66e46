"""Tests of training with DeepSpeed: allowed configurations, and their results."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform.protocol.accelerator_options import AcceleratorOptions
from aiplatform.protocol.specs import TaskSpec
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.training import sharding
from tests.runtime.conftest import make_job, training_spec, write_dataset
from tests.runtime.distributed.test_sharding import adapter
from tests.runtime.harness import Runner
from tests.runtime.training.conftest import ROWS

TASKS: TypeAdapter[Any] = TypeAdapter(TaskSpec)
SPEC = {
    "batch_size": 2,
    "gradient_accumulation": 2,
    "eval_steps": 2,
    "checkpoint_steps": 2,
    "processes": 2,
    "max_steps": 4,
    "weight_decay": 0.1,
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
}
EVERYDAY = {
    "fp16": {"enabled": "auto", "loss_scale": 0, "initial_scale_power": 16, "hysteresis": 2},
    "bf16": {"enabled": "auto"},
    "optimizer": {
        "type": "AdamW",
        "params": {"lr": "auto", "betas": [0.9, 0.99], "eps": 1e-7, "weight_decay": "auto"},
    },
    "scheduler": {
        "type": "WarmupCosineLR",
        "params": {"warmup_num_steps": "auto", "total_num_steps": "auto"},
    },
    "zero_optimization": {
        "stage": 3,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
        "offload_param": {"device": "cpu", "pin_memory": True},
        "overlap_comm": True,
        "contiguous_gradients": True,
        "sub_group_size": 1e9,
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
        "stage3_max_live_parameters": 1e9,
        "stage3_max_reuse_distance": 1e9,
        "stage3_gather_16bit_weights_on_model_save": True,
    },
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": 0.5,
    "steps_per_print": 2000,
    "train_batch_size": 8,
    "train_micro_batch_size_per_gpu": "auto",
    "wall_clock_breakdown": False,
}
"""A typical DeepSpeed configuration."""

needs_deepspeed = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="the extra 'deepspeed' is not installed"
)


def by(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a spec that contains a DeepSpeed configuration."""
    return {"accelerator": {"deepspeed": config}}


def zero(stage: int, /, **more: Any) -> dict[str, Any]:
    return by({"zero_optimization": {"stage": stage, **more}})


def run(
    tmp_path: Path, spec: dict[str, Any], inputs: dict[str, Path], processes: int = 2, **more: Any
) -> Runner:
    tmp_path.mkdir(exist_ok=True)
    job = make_job(tmp_path, training_spec(**spec), inputs, ranks={"processes": processes}, **more)
    # Compilers can't be found with this PATH, and workers must not need one.
    with Runner.of_job(job, tmp_path, PATH="/nowhere") as runner:
        assert runner.finish(200) == 0, runner.log
    return runner


def steps(runner: Runner) -> dict[int, dict[str, float]]:
    """Return the loss, learning rate and gradient norm of each step."""
    kept = {"loss", "learning_rate", "grad_norm"}
    return {
        message["step"]: {k: v for k, v in message["values"].items() if k in kept}
        for message in runner.of_type("metrics")
        if "loss" in message["values"]
    }


@pytest.fixture(scope="module")
def inputs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return training inputs with five held-out rows, which two ranks can't share evenly."""
    directory = tmp_path_factory.mktemp("inputs")
    return {
        "base_model": tiny_model,
        "dataset": write_dataset(directory / "dataset.parquet", ROWS),
        "eval_dataset": write_dataset(directory / "held-out.parquet", ROWS[:5]),
    }


@pytest.fixture(scope="module")
def unsharded(
    inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runner, Path]:
    """Return a completed training run without DeepSpeed, and its output directory."""
    directory = tmp_path_factory.mktemp("whole")
    return run(directory, SPEC, inputs), directory / "output"


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize("options", [{"stage": 2}, {"stage": 3}])
def test_sharded_training_equals_unsharded_and_saves_a_whole_model(
    options: dict[str, Any],
    inputs: dict[str, Path],
    unsharded: tuple[Runner, Path],
    tmp_path: Path,
) -> None:
    """Check that the metrics of each step agree, including after resuming from a checkpoint."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    if options["stage"] == 3:  # shard small weights, too
        options = {**options, "stage3_param_persistence_threshold": 0}
    spec = {**SPEC, **by({"zero_optimization": options})}
    whole, whole_output = unsharded
    shared = run(tmp_path / "shared", spec, inputs)
    checkpoint = shared.of_type("checkpoint")[0]
    assert checkpoint["step"] == 2
    again = run(tmp_path / "again", spec, inputs, attempt=2, resume_from=checkpoint["path"])

    expected = whole.outcome["data"]
    assert list(steps(shared)) == [1, 2, 3, 4]
    assert list(steps(again)) == [3, 4]
    for one, name in ((shared, "shared"), (again, "again")):
        for step, values in steps(one).items():
            assert values == pytest.approx(steps(whole)[step], rel=1e-3), (name, step)
        result = one.outcome["data"]
        assert result["eval_loss"] == pytest.approx(expected["eval_loss"], rel=1e-3)
        assert result["trainable_parameters"] == expected["trainable_parameters"]
        output = tmp_path / name / "output"
        ours, theirs = adapter(output / "adapter"), adapter(whole_output / "adapter")
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-2, atol=1e-4)
        merged = [load_file(p / "weights/model.safetensors") for p in (output, whole_output)]
        for key, value in merged[1].items():
            torch.testing.assert_close(merged[0][key], value, rtol=1e-2, atol=1e-4)
        AutoModelForCausalLM.from_pretrained(output / "weights")
    # There are no pickles, and the optimizer's state is complete and keyed by weight name.
    directory = Path(checkpoint["path"])
    assert {path.suffix for path in directory.iterdir()} <= {".json", ".safetensors", ".md"}
    state = dict(json.loads((directory / "training_state.json").read_text())["dict"])
    assert "random_of_others" in state
    optimizer = dict(state["optimizer"]["dict"])
    assert optimizer["step"] == 2
    assert len(optimizer["state"]["dict"]) == len(ours)
    moments = load_file(directory / "training_state.safetensors")
    for name, values in optimizer["state"]["dict"]:
        for _, place in values["dict"]:
            assert moments[place["tensor"]].shape == ours[name.replace(".default.", ".")].shape


@needs_deepspeed
@pytest.mark.slow
def test_stopped_training_with_typical_config_resumes_in_one_process(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    """Train in two processes with bf16 and CPU offloading; resume in one process at stage 1."""
    import torch

    spec = {**SPEC, "precision": "bf16", "max_steps": 400, "checkpoint_steps": 400}
    job = make_job(
        tmp_path, training_spec(**{**spec, **by(EVERYDAY)}), inputs, ranks={"processes": 2}
    )
    with Runner.of_job(job, tmp_path, PATH="/nowhere") as first:
        first.wait_for("metrics", 120)
        first.cancel()
        first.finish(60)
        assert first.outcome["type"] == "stopped", first.log
    (checkpoint,) = first.of_type("checkpoint")
    kept = adapter(Path(checkpoint["path"]))
    assert {value.dtype for value in kept.values()} == {torch.float32}, "nothing is rounded"
    one = {**spec, **zero(1), "processes": 1, "max_steps": checkpoint["step"] + 1}
    alone = run(
        tmp_path / "one", one, inputs, processes=1, attempt=2, resume_from=checkpoint["path"]
    )
    ((step, values),) = steps(alone).items()
    assert step == checkpoint["step"] + 1
    assert values["loss"] < steps(first)[1]["loss"]
    assert alone.outcome["data"]["precision"] == "bf16"
    assert (tmp_path / "one/output/weights/config.json").is_file()


@pytest.mark.parametrize("fields", [{}, {"processes": 2}, {"resources": {"gpus": 4}}])
def test_deepspeed_config_is_kept_unchanged(fields: dict[str, Any]) -> None:
    spec = TASKS.validate_python(training_spec(**zero(2, reduce_bucket_size=5e8), **fields))
    kept = spec.model_dump(mode="json")["accelerator"]["deepspeed"]
    assert kept == {"zero_optimization": {"stage": 2, "reduce_bucket_size": 500_000_000}}
    everyday = AcceleratorOptions.model_validate({"deepspeed": EVERYDAY})
    assert json.loads(everyday.model_dump_json())["deepspeed"] == EVERYDAY


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"train_micro_batch_size_per_gpu": 8}, r"is 8, and the spec says 2 \(batch_size\)"),
        ({"gradient_accumulation_steps": 1}, r"is 1, and the spec says 2 \(gradient_accum"),
        ({"train_batch_size": 4}, "is 4, and the spec says 8 .*times all processes"),
        (
            {"optimizer": {"type": "AdamW", "params": {"lr": 0.1}}},
            r"optimizer.params.lr is 0.1, and the spec says 0.01 \(learning_rate\). Set it to",
        ),
        (
            {"optimizer": {"type": "Adam", "params": {"weight_decay": 0.5}}},
            "weight_decay is 0.5, and the spec says 0.1",
        ),
        (
            {"scheduler": {"type": "WarmupCosineLR", "params": {"warmup_max_lr": 0.5}}},
            "warmup_max_lr is 0.5, and the spec says 0.01",
        ),
        (
            {"scheduler": {"type": "WarmupDecayLR"}},
            "is WarmupDecayLR, and lr_scheduler is cosine. Leave scheduler out, or set .*linear",
        ),
        ({"scheduler": {"type": "WarmupLR"}}, "lr_scheduler, which has no WarmupLR. Leave"),
        ({"scheduler": {"type": []}}, r"which has no \[\]. Leave"),
        ({"scheduler": {}}, "which has no None. Leave"),
        ({"bf16": {"enabled": True}}, "enabled is true, and precision is fp32. .*set .*bf16"),
        ({"fp16": {"enabled": True}}, "training in fp16 is not supported"),
        (
            {"tensorboard": {"enabled": True, "output_path": "/x"}},
            "tensorboard is not supported",
        ),
        ({"wandb": {"enabled": True}}, "wandb is not supported"),
        ({"comet": {"enabled": True}}, "comet is not supported"),
        ({"csv_monitor": {"enabled": True}}, "csv_monitor is not supported"),
        ({"flops_profiler": {"output_file": "/x"}}, "flops_profiler is not supported"),
        ({"checkpoint": {}}, "the platform manages the checkpoints"),
        ({"aio": {}}, "aio is not supported"),
        ({"compression_training": {}}, "LoRA trains no weights that it could change"),
        ({"misspelt": 1}, "there is no such field"),
        ({"optimizer": {"type": "OneBitAdam"}}, "Input should be 'AdamW' or 'Adam'"),
        ({"zero_force_ds_cpu_optimizer": True}, "Input should be False"),
        ({"gradient_clipping": -1}, "greater than or equal to 0"),
        ({"zero_optimization": {"stage": 0}}, "Input should be 1, 2 or 3"),
        ({"zero_optimization": {}}, "Field required"),
        ({"zero_optimization": {"stage": 3, "zero_quantized_weights": True}}, "needs kernels"),
        ({"zero_optimization": {"stage": 3, "sub_group_size": "auto"}}, "valid integer"),
        (
            {
                "zero_optimization": {
                    "stage": 3,
                    "offload_param": {"device": "nvme", "nvme_path": "/local_nvme"},
                }
            },
            "offload to NVMe is not supported: it would write to paths of the worker",
        ),
        (
            {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}},
            "offload_param needs stage 3",
        ),
    ],
)
def test_invalid_deepspeed_config_is_refused(config: dict[str, Any], message: str) -> None:
    whole = {"zero_optimization": {"stage": 2}, **config}
    with pytest.raises(ValidationError, match=message):
        TASKS.validate_python(training_spec(**{**SPEC, **by(whole)}))


def test_deepspeed_config_may_repeat_values_of_the_spec() -> None:
    same = {
        "zero_optimization": {"stage": 1},
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2,
        "train_batch_size": 8,
        "bf16": {"enabled": False},
        "fp16": {"enabled": False},
        "optimizer": {"type": "AdamW", "params": {"lr": 0.01, "weight_decay": 0.1}},
        "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_max_lr": 0.01}},
    }
    TASKS.validate_python(training_spec(**{**SPEC, **by(same)}, lr_scheduler="linear"))


def test_fsdp_and_deepspeed_together_are_refused() -> None:
    both = {"fsdp": {}, "deepspeed": {"zero_optimization": {"stage": 2}}}
    with pytest.raises(ValidationError, match="both fsdp and deepspeed; leave one of them out"):
        AcceleratorOptions.model_validate(both)


def test_trainer_options_contain_the_deepspeed_config() -> None:
    """Check that options missing from the DeepSpeed configuration keep their usual values."""
    plain = AcceleratorOptions.model_validate({"even_batches": False, **zero(2)["accelerator"]})
    options = sharding.trainer_options(plain)
    assert options["accelerator_config"]["even_batches"] is False
    assert "deepspeed" not in options["accelerator_config"]
    assert options["deepspeed"]["gradient_clipping"] == "auto"
    assert options["deepspeed"]["bf16"] == {"enabled": "auto"}
    assert "max_grad_norm" not in options
    given = AcceleratorOptions.model_validate({"deepspeed": EVERYDAY})
    options = sharding.trainer_options(given)
    assert (options["adam_beta1"], options["adam_beta2"]) == (0.9, 0.99)
    assert (options["adam_epsilon"], options["max_grad_norm"]) == (1e-7, 0.5)
    # The trainer uses these numbers for its own AdamW and schedule, so DeepSpeed gets neither.
    assert not {"optimizer", "scheduler", "fp16", "train_batch_size"} & options["deepspeed"].keys()
    assert options["deepspeed"]["zero_optimization"] == EVERYDAY["zero_optimization"]


def test_quantized_weights_with_stage_3_are_refused() -> None:
    quantized = SimpleNamespace(config=SimpleNamespace(quantization_config={}))
    for stage in (1, 2):
        sharding.require_shardable(quantized, options_of(stage))
    with pytest.raises(JobError, match=r"deepspeed: the base model is quantized.*take stage 2"):
        sharding.require_shardable(quantized, options_of(3))


def test_prepare_without_deepspeed_raises_module_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    sharding.prepare(None)
    sharding.prepare(AcceleratorOptions())
    with pytest.raises(ModuleNotFoundError) as caught:
        sharding.prepare(options_of(2))
    assert caught.value.name == "deepspeed"


def options_of(stage: int) -> AcceleratorOptions:
    return AcceleratorOptions.model_validate(zero(stage)["accelerator"])
