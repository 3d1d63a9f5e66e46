"""Writing of a training run's result: adapter, merged weights and model card."""

import json
import shutil
from pathlib import Path
from typing import Any

from aiplatform.protocol.enums import ModelKind
from aiplatform.protocol.messages import Job
from aiplatform.protocol.trainings import TrainingSpec
from aiplatform.runtime.artifacts import ADAPTER, CARD, LICENSE_NAMES, WEIGHTS, make_durable
from aiplatform.runtime.model_cards import PIPELINES, license_of, write_card


def save_tuned_model(
    model: Any, tokenizer: Any, turn_ends: list[int], job: Job, result: dict[str, Any]
) -> None:
    """Write the directory of the tuned model.

    Args:
        model: The trained model. An adapter is merged in place; don't use the model afterwards.
        tokenizer: Saved with the weights, including its chat template.
        turn_ends: Additional tokens at which the model must stop.
        job: The training job.
        result: Metrics for the model card.
    """
    output = Path(job.output_dir)
    base = Path(job.inputs["base_model"])
    spec = job.spec
    assert isinstance(spec, TrainingSpec)
    for name in (ADAPTER, WEIGHTS):
        shutil.rmtree(output / name, ignore_errors=True)
    merged = model
    if hasattr(model, "peft_config"):
        # The base model's path on this machine is meaningless on other machines.
        for config in model.peft_config.values():
            config.base_model_name_or_path = str(spec.base_model)
        model.save_pretrained(output / ADAPTER, save_embedding_layers=False)
        (output / ADAPTER / "README.md").unlink(missing_ok=True)  # PEFT's empty template
        merged = model.merge_and_unload()
    if spec.makes is ModelKind.LANGUAGE_MODEL:
        add_stop_tokens(merged, turn_ends)
        merged.config.use_cache = True
    merged.save_pretrained(output / WEIGHTS)
    tokenizer.save_pretrained(output / WEIGHTS)
    for name in LICENSE_NAMES:
        if (base / WEIGHTS / name).is_file():
            shutil.copyfile(base / WEIGHTS / name, output / WEIGHTS / name)
    write_tuned_card(output / CARD, base, job, result)
    make_durable(output)


def add_stop_tokens(model: Any, turn_ends: list[int]) -> None:
    """Add tokens to those at which the model stops generating."""
    known = model.generation_config.eos_token_id
    known = known if isinstance(known, list) else [] if known is None else [known]
    ends = [*known, *(token for token in turn_ends if token not in known)]
    if ends:
        model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]


def write_tuned_card(path: Path, base: Path, job: Job, result: dict[str, Any]) -> None:
    """Write the model card: base, licence, data version, metrics and the full configuration.

    The base model and the data appear under their usual names. Their uuids follow the names in the
    text and are also in the configuration.
    """
    spec = job.spec
    assert isinstance(spec, TrainingSpec)
    figures = {
        "train_loss": result["train_loss_last"],
        "eval_loss": result.get("eval_loss"),
        "perplexity": result.get("perplexity"),
        "eval_accuracy": result.get("eval_accuracy"),
        "eval_macro_f1": result.get("eval_macro_f1"),
        **{name: value for name, value in result.items() if name in RETRIEVAL_FIGURES},
        "reward_accuracy": result.get("reward_accuracy"),
        "eval_reward_accuracy": result.get("eval_reward_accuracy"),
        "eval_reward_auc": result.get("eval_reward_auc"),
        "mean_reward": result.get("mean_reward_last"),
        "eval_mean_reward": result.get("eval_mean_reward"),
        "eval_mean_reward_before": result.get("eval_mean_reward_before"),
    }
    metrics = {name: round(value, 4) for name, value in figures.items() if value is not None}
    uuids = {
        "base_model": str(spec.base_model),
        "dataset": f"{spec.dataset.dataset}@{spec.dataset.version}",
    }
    names = {role: job.labels.get(role, uuid) for role, uuid in uuids.items()}
    base_text, data_text = (_named(names[role], uuid) for role, uuid in uuids.items())
    table = "\n".join(f"| {name} | {value} |" for name, value in metrics.items())
    config = json.dumps(spec.model_dump(mode="json"), indent=2)
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    write_card(
        path,
        {
            "license": license_of(base),
            "library_name": "transformers",
            "pipeline_tag": PIPELINES[spec.makes],
            "base_model": names["base_model"],
            "datasets": [names["dataset"]],
            "metrics": metrics,
            "config": spec.model_dump(mode="json", exclude={"resources", "queue", "max_attempts"}),
        },
        f"""
# {spec.output_name}

{how_trained(spec)} from the base model {base_text}
on the dataset version {data_text}: {result["rows"]} rows, of which
{result["rows_truncated"]} were cut to {spec.max_length} tokens and {result["rows_dropped"]}
could not be used; {result["steps"]} steps, {result["epochs"]:.2f} epochs,
{result["tokens"]:,} tokens, in {result["precision"]}.

{what_is_written(spec)}

| metric | value |
| --- | --- |
{table}

Trained with {versions}.

```json
{config}
```
""",
    )


RETRIEVAL_FIGURES = (
    "eval_recall_at_1",
    "eval_recall_at_10",
    "eval_mrr",
    "eval_ndcg_at_10",
    "eval_spearman",
)
KINDS = {"lora": "LoRA", "dora": "DoRA", "rslora": "rsLoRA"}


def how_trained(spec: TrainingSpec) -> str:
    """Return the beginning of a sentence that names the method and the weights it trained."""
    lora = getattr(spec, "lora", None)
    if lora is None or getattr(spec, "tuning", "lora") == "full":
        return f"Trained with the method {spec.method} (all weights)"
    return f"Trained with the method {spec.method} ({KINDS[lora.kind]}, rank {lora.rank})"


def what_is_written(spec: TrainingSpec) -> str:
    """Return sentences about the directories next to the card, and about using the model."""
    if getattr(spec, "tuning", "lora") == "full":
        written = "`weights/` holds the model."
    else:
        written = "`weights/` holds the merged model, `adapter/` the adapter alone."
    return f"{written} {spec.note_on_use}".rstrip()


def _named(name: str, uuid: str) -> str:
    """Return a name and its uuid in Markdown, as code because it may contain any character."""
    shown = name.replace("`", "'")
    return f"`{shown}`" if name == uuid else f"`{shown}` ({uuid})"
