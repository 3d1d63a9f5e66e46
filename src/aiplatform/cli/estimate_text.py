"""The text of a training estimate, as ``aiplatform train --dry-run`` prints it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from aiplatform.cli.output import duration_text, number_text, print_rows, print_text, size_text
from aiplatform.language import current, tr

if TYPE_CHECKING:
    from aiplatform.protocol.shapes.estimates import (
        RangeOut,
        RowEstimate,
        RunEstimate,
        TimeEstimate,
        TrainingEstimate,
    )


def print_estimate(estimate: "TrainingEstimate") -> None:
    """Print the figures, the first rows and the warnings of an estimate."""
    rows, tokens, steps = estimate.rows, estimate.tokens, estimate.steps
    memory, seconds = estimate.memory_mb, estimate.seconds
    figures = [
        [tr("rows"), number_text(rows.total)],
        [tr("rows used"), number_text(rows.used)],
        [tr("rows cut"), number_text(rows.truncated)],
        [tr("rows dropped"), number_text(rows.dropped)],
        [
            tr("tokens per row"),
            tr(
                "{min} to {max}, median {median}, 95 % up to {p95}",
                min=tokens.min,
                max=tokens.max,
                median=tokens.median,
                p95=tokens.p95,
            ),
        ],
        [tr("tokens per epoch"), number_text(tokens.per_epoch)],
    ]
    if tokens.learned_per_epoch is not None:
        figures.append([tr("of these learned"), number_text(tokens.learned_per_epoch)])
    figures += [
        [tr("padding"), f"{tokens.padding_share:.0%}"],
        [tr("steps per epoch"), number_text(steps.per_epoch)],
        [tr("steps"), number_text(steps.total)],
        [tr("peak memory"), _range(memory, lambda value: size_text(value * 1024 * 1024))],
        [tr("duration"), _range(seconds, duration_text)],
        [
            tr("estimated from"),
            _source(seconds),
        ],
    ]
    print_rows(["", ""], figures)
    _print_examples(rows)
    for row in estimate.first_rows:
        part = "" if row.part is None else f" ({row.part})"
        print_text("\n" + tr("Row {number}{part}, learned in [[ ]]:", number=row.number, part=part))
        text = "".join(f"[[{one.text}]]" if one.learned else one.text for one in row.segments)
        print_text(text + ("…" if row.cut else ""))
    for warning in estimate.warnings:
        chinese = current() == "zh"
        message = warning.message_zh if chinese else warning.message
        print_text("\n" + tr("Warning: {message}", message=message))


def comparison_rows(estimate: "RunEstimate") -> list[list[str]]:
    """Return the estimated figures, for display next to the actual figures of a run."""
    memory = _range(estimate.memory_mb, lambda value: size_text(value * 1024 * 1024))
    return [
        [tr("estimated memory"), memory],
        [tr("estimated duration"), _range(estimate.seconds, duration_text)],
    ]


def _source(seconds: "TimeEstimate") -> str:
    if seconds.source == "history":
        if seconds.trainings == 1:
            return tr("one earlier training")
        return tr("{count} earlier trainings", count=seconds.trainings)
    if seconds.steps == 1:
        return tr("one measured step")
    return tr("{count} measured steps", count=seconds.steps)


def _range(value: "RangeOut", text: Callable[[float], str]) -> str:
    return tr(
        "{expected} ({low} to {high})",
        expected=text(value.expected),
        low=text(value.low),
        high=text(value.high),
    )


def _print_examples(rows: "RowEstimate") -> None:
    if rows.truncated_examples:
        print_text("\n" + tr("Rows that are cut:"))
    for example in rows.truncated_examples:
        print_text(f"  {example.row}: {example.text}")
    for dropped in rows.dropped_rows:
        print_text(
            "\n" + tr("{count} rows dropped: {reason}", count=dropped.rows, reason=dropped.reason)
        )
        for example in dropped.examples:
            print_text(f"  {example.row}: {example.text}")
