"""The command ``aiplatform train``: from a dataset and a base model to a tuned model."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.options import Detach, Json, OverrideGate, Priority, Project
from aiplatform.cli.output import number_text, print_json, print_json_line, print_rows, say
from aiplatform.cli.session import connect
from aiplatform.cli.specs import assign, read_reward, read_spec
from aiplatform.cli.task_display import follow, say_queued
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Client, Experiment, Task

_DATA, _METHOD, _RUN = "What", "How", "The run"
_ABOUT = ("name", "description", "project")

Spec = Annotated[
    Path | None,
    typer.Option(
        "--spec",
        "-f",
        exists=True,
        dir_okay=False,
        help="TOML, JSON or YAML file with the fields of a training spec. Options of "
        "the command line override it.",
        rich_help_panel=_DATA,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any field of the spec, such as lora.dropout=0.1. Can be repeated.",
        rich_help_panel=_METHOD,
    ),
]


def train(
    base_model: Annotated[
        str | None,
        typer.Option(
            "--base-model",
            "-m",
            help="Base model: NAME (the newest version), NAME@VERSION or NAME@ALIAS.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Dataset to train on: NAME (the current version) or NAME@VERSION.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    eval_dataset: Annotated[
        str | None,
        typer.Option(
            "--eval-dataset",
            "-e",
            help="Dataset with held-out rows, to evaluate the model on: NAME or NAME@VERSION.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    spec: Spec = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="Training method. Possible: classification, cpt, dpo, embedding, grpo, kto, "
            "orpo, reward, sft. Default: sft.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the experiment.", rich_help_panel=_RUN)
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Name of the tuned model. Default: tuned.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Number of passes over all rows. Default: 1.", rich_help_panel=_METHOD),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(
            help="Number of training steps, instead of --epochs.", rich_help_panel=_METHOD
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            "--lr",
            help="Learning rate at the start. Default: 0.0002.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Rows per step and device. Default: 8.", rich_help_panel=_METHOD),
    ] = None,
    gradient_accumulation: Annotated[
        int | None,
        typer.Option(
            help="Batches that are accumulated for one step. Default: 1.", rich_help_panel=_METHOD
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of tokens; longer rows are cut. Default: 512.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    lora_rank: Annotated[
        int | None,
        typer.Option(help="Rank of the LoRA adapter. Default: 16.", rich_help_panel=_METHOD),
    ] = None,
    lora_alpha: Annotated[
        int | None,
        typer.Option(
            help="Scale of the LoRA adapter (alpha). Default: 32.", rich_help_panel=_METHOD
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Number format of the computation: auto, fp32 or bf16. Default: auto.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the random numbers. Default: 42.", rich_help_panel=_METHOD),
    ] = None,
    rewards: Annotated[
        list[str] | None,
        typer.Option(
            "--reward",
            metavar="KIND [KEY=VALUE …]",
            help="Score answers by this reward, for --method grpo: 'exact', or "
            "'contains text=Paris weight=2'. Kinds: exact, contains, numeric, regex, json_schema, "
            "length, custom. Can be repeated.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    assignments: Set = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Train nothing: show rows, tokens, steps, memory and time of the training.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    priority: Priority = None,
    override_gate: OverrideGate = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Fine-tune a base model on a dataset, and follow the training run.

    Creates an experiment, queues a run, and shows its loss. Registers the tuned model.
    """
    fields = {
        "method": method,
        "base_model": base_model,
        "dataset": dataset,
        "eval_dataset": eval_dataset,
        "output_name": output,
        "epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "gradient_accumulation": gradient_accumulation,
        "max_length": max_length,
        "precision": precision,
        "seed": seed,
    }
    lora = {"rank": lora_rank, "alpha": lora_alpha}
    wanted = read_spec(spec) if spec else {}
    wanted |= _given_values(fields)
    if _given_values(lora):
        wanted["lora"] = {**wanted.get("lora", {}), **_given_values(lora)}
    if rewards:
        wanted["rewards"] = [read_reward(reward) for reward in rewards]
    assign(wanted, assignments or [])
    for required in ("base_model", "dataset"):
        if wanted.get(required) in (None, ""):
            option = f"--{required.replace('_', '-')}"
            raise typer.BadParameter(
                tr("give {option}, or a --spec", option=option)
                if spec is None
                else tr(
                    "{spec} has no {required}: add it to the file, or give {option}",
                    spec=spec,
                    required=required,
                    option=option,
                )
            )

    client = connect(project or wanted.get("project"))
    if dry_run:
        show_estimate(client, wanted, as_json=json)
        return
    experiment = create_experiment(client, wanted, name)
    from aiplatform.client import git_state

    task = experiment.run(priority=priority, override_gate=override_gate, git=git_state())
    if detach:
        if json:
            print_json(task)
        else:
            say_queued(task)
        return
    if not json:
        say(tr("Experiment {name}, task {uuid}", name=experiment.name, uuid=task.uuid))
    task = follow(client, task, as_json=json)
    if json:
        print_json_line(task)
    else:
        print_training(client, task)


def create_experiment(client: "Client", wanted: dict[str, Any], name: str | None) -> "Experiment":
    """Create an experiment from a spec that gives models and datasets by name or uuid."""
    about = {key: wanted.pop(key) for key in _ABOUT if key in wanted}
    experiment_name = (
        name or about.get("name") or f"train-{datetime.now().astimezone():%m%d-%H%M%S}"
    )
    return client.experiments.create(
        experiment_name, description=about.get("description"), **_with_references(wanted)
    )


def show_estimate(client: "Client", wanted: dict[str, Any], *, as_json: bool) -> None:
    """Estimate a training run, and print the estimate."""
    from aiplatform.cli.estimate_text import print_estimate

    fields = {key: value for key, value in wanted.items() if key not in _ABOUT}
    queued = client.estimates.create(**_with_references(fields))
    if as_json:
        print_json(queued.wait())
        return
    follow(client, client.tasks.get(queued.uuid), as_json=False)
    estimate = client.estimates.get(queued)
    if estimate.result is not None:
        print_estimate(estimate.result)


def print_training(client: "Client", task: "Task") -> None:
    """Print the results of a training run."""
    result = task.result or {}
    labels = {
        "steps": tr("steps"),
        "rows": tr("rows"),
        "rows_truncated": tr("rows cut"),
        "rows_dropped": tr("rows dropped"),
        "train_loss_first": tr("first loss"),
        "train_loss_last": tr("last loss"),
        "eval_loss": tr("held-out loss"),
        "perplexity": tr("held-out perplexity"),
        "eval_accuracy": tr("held-out accuracy"),
        "eval_macro_f1": tr("held-out macro F1"),
        "eval_recall_at_1": tr("held-out recall@1"),
        "eval_recall_at_10": tr("held-out recall@10"),
        "eval_mrr": tr("held-out MRR"),
        "eval_ndcg_at_10": tr("held-out nDCG@10"),
        "eval_spearman": tr("held-out rank correlation"),
        "eval_reward_accuracy": tr("held-out reward accuracy"),
        "eval_reward_auc": tr("held-out reward AUC"),
        "mean_reward_first": tr("first mean reward"),
        "mean_reward_last": tr("last mean reward"),
        "eval_mean_reward_before": tr("held-out mean reward before"),
        "eval_mean_reward": tr("held-out mean reward"),
        "seconds": tr("seconds"),
    }
    rows = [[label, number_text(result[key])] for key, label in labels.items() if key in result]
    model = client.tasks.get(task).model
    if model is not None:
        rows.append([tr("model"), client.models.get(model).reference])
    print_rows(["", ""], rows)


def _with_references(wanted: dict[str, Any]) -> dict[str, Any]:
    """Convert references in a spec, ``dataset = {dataset, version}``, to the SDK's references."""
    fields = dict(wanted)
    for key in ("dataset", "eval_dataset", "replay_dataset"):
        value = fields.get(key)
        if isinstance(value, dict):
            version = f"@{value['version']}" if value.get("version") else ""
            fields[key] = f"{value.get('dataset', '')}{version}"
    return fields


def _given_values(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
