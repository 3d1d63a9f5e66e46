"""Evaluation jobs, which compare a model and its base on the same held-out rows."""

from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import EvaluationSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.chat import Messages, load_tokenizer
from aiplatform.runtime.loading import (
    choose_precision,
    context_length,
    device,
    is_tuned,
    load_adapter,
    load_weights,
    precision_name,
)
from aiplatform.runtime.rows import encode_dataset, read_conversations


def run_evaluation(job: Job, report: Reporter) -> dict[str, Any]:
    """Return the loss, perplexity and answers of the job's model and, if it is tuned, of its base.

    If the model has an adapter, only the base is loaded, because the tuned model consists of the
    same weights with the adapter enabled. Otherwise, the tuned model and its base are loaded one
    after the other. Both get the same tokens and masks, which are made with the tuned model's
    tokenizer and chat template.
    """
    spec = job.spec
    assert isinstance(spec, EvaluationSpec)
    data = Path(job.inputs["dataset"])
    model = Path(job.inputs["model"])
    base = job.inputs.get("base_model")
    has_adapter = base is not None and is_tuned(model)

    report.phase("load")
    tokenizer = load_tokenizer(model / WEIGHTS)
    max_length = min(spec.max_length, context_length(model))
    rows = encode_dataset(data, tokenizer, max_length=max_length, max_rows=spec.max_rows)
    report.event(
        "rows", total=rows.total, used=len(rows.rows), dropped=dict(rows.dropped.most_common(10))
    )

    precision = choose_precision(spec.precision)
    loaded = load_weights(Path(base) if has_adapter and base is not None else model, precision)
    if has_adapter:
        loaded = load_adapter(loaded, model)
    loaded = loaded.to(device()).eval()

    report.phase("evaluate")
    # Each variant's loss is one share of the progress, and all answers together are another.
    variants: dict[str, AbstractContextManager[Any]] = {"model": nullcontext()}
    if base is not None:
        variants["base"] = loaded.disable_adapter() if has_adapter else nullcontext()
    questions = choose_questions(data, tokenizer, spec, max_length)
    shares = len(variants) + bool(questions)
    result: dict[str, Any] = {
        "rows": len(rows.rows),
        "rows_truncated": rows.truncated,
        "rows_dropped": rows.dropped.total(),
        "precision": precision_name(precision),
    }
    answers: dict[str, list[str]] = {}
    for position, (name, variant) in enumerate(variants.items()):
        if name == "base" and base is not None and not has_adapter:
            del loaded  # so that memory holds only one of the two models
            loaded = load_weights(Path(base), precision).to(device()).eval()
        with variant:
            mean = token_loss_of(loaded, rows.rows, tokenizer, spec, report, position, shares)
            result["tokens"] = mean.tokens
            result[name] = {"loss": mean.loss, "perplexity": mean.perplexity}
            report.metrics(0, {f"{name}_loss": mean.loss, f"{name}_perplexity": mean.perplexity})
            answers[name] = answer_all(loaded, tokenizer, questions, spec)
    result["answers"] = pair_answers(questions, answers)
    report.progress(1.0)
    return result


def token_loss_of(
    model: Any,
    rows: list[Any],
    tokenizer: Any,
    spec: EvaluationSpec,
    report: Reporter,
    position: int,
    shares: int,
) -> Any:
    """Return the loss of ``model``, and report the progress of this part of the job.

    The progress is divided into ``shares`` equal shares, of which ``position`` are already done.
    """
    from aiplatform.runtime.evaluation.loss import token_losses

    mean = token_losses(
        model,
        rows,
        pad=tokenizer.pad_token_id,
        batch_size=spec.batch_size,
        progress=lambda done: report.progress((position + done) / shares),
    )
    assert mean is not None, "without a stop to give way to, it runs to the end"
    return mean


def choose_questions(
    data: Path, tokenizer: Any, spec: EvaluationSpec, max_length: int
) -> list[Messages]:
    """Return the conversations whose last message is to be answered.

    These conversations are spread evenly over the evaluated rows.
    """
    from aiplatform.data.canonical import shape_of
    from aiplatform.protocol.enums import DataShape
    from aiplatform.runtime.evaluation.answers import answerable, sample_evenly, up_to_last_answer

    if not spec.answers or shape_of(data) is DataShape.TEXT:
        return []
    conversations = (
        up_to_last_answer(messages)
        for messages in islice(read_conversations(data), spec.max_rows)
        if not isinstance(messages, str)
    )
    usable = [
        messages
        for messages in conversations
        if messages is not None and answerable(tokenizer, messages, max_length)
    ]
    return sample_evenly(usable, spec.answers)


def answer_all(
    model: Any, tokenizer: Any, questions: list[Messages], spec: EvaluationSpec
) -> list[str]:
    """Return the answers of ``model`` to all questions."""
    from aiplatform.runtime.evaluation.answers import answer

    answers: list[str] = []
    for start in range(0, len(questions), spec.batch_size):
        batch = questions[start : start + spec.batch_size]
        answers += answer(model, tokenizer, batch, max_new_tokens=spec.max_new_tokens)
    return answers


def pair_answers(questions: list[Messages], answers: dict[str, list[str]]) -> list[dict[str, str]]:
    """Return each question with the answers of the dataset, the model and, if any, the base."""
    from aiplatform.runtime.evaluation.answers import question_of

    return [
        {
            "question": question_of(messages),
            "expected": messages[-1]["content"],
            **{name: said[index] for name, said in answers.items()},
        }
        for index, messages in enumerate(questions)
    ]
