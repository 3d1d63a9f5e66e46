"""Make the quality report: run all checks in one pass over the rows, and compute the score."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from aiplatform.data.canonical import row_count, shape_of
from aiplatform.data.quality.builtin_checks import CHECKS
from aiplatform.data.quality.check import Context, Finding, Severity
from aiplatform.data.quality.check_run import CheckRun
from aiplatform.data.quality.contamination import Contamination
from aiplatform.data.quality.examples import prepare_examples
from aiplatform.data.quality.labels import Labels
from aiplatform.data.quality.languages import Languages
from aiplatform.data.quality.leakage import Leakage
from aiplatform.data.quality.references import Reference

VERSION = 3

WEIGHTS = {Severity.ERROR: 1.0, Severity.WARNING: 0.5, Severity.INFO: 0.0}

FORMULA = (
    "100 × the product over all findings of (1 − weight × share of rows); "
    "weight 1 for an error, 0.5 for a warning, 0 for information; rounded down"
)
FORMULA_ZH = (
    "100 × 所有问题的 (1 − 权重 × 涉及数据的比例) 之积；"
    "错误的权重为 1，警告为 0.5，提示为 0；向下取整"
)


def make_report(
    parquet: Path,
    *,
    tokenizer: Path | None,
    max_length: int,
    progress: Callable[[float], None],
    references: Sequence[Reference] = (),
) -> dict[str, Any]:
    """Make the quality report of a dataset version.

    Memory is bounded, because all data about individual rows is on disk, except for a few bits per
    row. Equal files give equal reports.

    Args:
        parquet: A canonical Parquet file.
        tokenizer: A model's directory with ``tokenizer.json``; None to count no tokens.
        max_length: Number of tokens at which training truncates a row.
        progress: Called with the fraction that is done, from 0 to 1.
        references: Evaluation data and benchmarks with which the rows are compared.

    Raises:
        aiplatform.data.quality.chat_template.TemplateRefusedError: the model's chat template does
            not compile.
    """
    schema, rows = pq.read_schema(parquet), row_count(parquet)
    context = Context(shape_of(parquet), schema, rows, tuple(references), keeps_rows=False)
    progress(0.0)
    run = CheckRun(context, CHECKS, tokenizer, max_length)
    run.execute(parquet, progress)
    findings = run.findings()
    findings.sort(key=lambda finding: list(Severity).index(finding.severity))
    prepare_examples(findings, parquet)
    return {
        "version": VERSION,
        "rows": rows,
        "shape": context.shape.value,
        "score": score(findings, rows),
        "score_formula": FORMULA,
        "score_formula_zh": FORMULA_ZH,
        "findings": [finding.as_dict(rows) for finding in findings],
        "languages": run.check(Languages).summary(),
        "labels": run.check(Labels).summary(),
        "tokens": run.lengths.summary() if run.lengths is not None else None,
        "compared_with": [
            *run.check(Leakage).summary(),
            *run.check(Contamination).summary(),
        ],
        "outside_checks": run.third_party.describe(),
    }


def score(findings: list[Finding], rows: int) -> int:
    """Return the score (0 to 100) by :data:`FORMULA`; it is 100 only without errors or warnings."""
    product = 1.0
    for finding in findings:
        product *= 1 - WEIGHTS[finding.severity] * min(finding.count / rows, 1)
    return int(100 * product)
