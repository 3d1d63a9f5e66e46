"""Apply fixes for findings: drop rows, or change texts.

The checks themselves find the rows to drop, in a separate pass over the original rows. Texts are
changed afterwards, while the rows are written. Therefore the order of the fixes in the request does
not matter.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from html import unescape
from pathlib import Path
from typing import Any

import ftfy
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.canonical import (
    iter_batches,
    json_columns,
    row_count,
    rows_of,
    shape_of,
)
from aiplatform.data.errors import MalformedData
from aiplatform.data.quality.builtin_checks import CHECKS
from aiplatform.data.quality.check import Check, Context
from aiplatform.data.quality.check_run import CheckRun
from aiplatform.data.quality.contamination import Contamination
from aiplatform.data.quality.damage import FOREIGN, was_utf8
from aiplatform.data.quality.label_errors import LabelErrors
from aiplatform.data.quality.labels import surplus_rows
from aiplatform.data.quality.leakage import Leakage
from aiplatform.data.quality.markup import CODE, ENTITY, TAG
from aiplatform.data.quality.near_duplicates import NearDuplicates
from aiplatform.data.quality.nested import TextFix, fix_nested_texts
from aiplatform.data.quality.personal_patterns import KINDS, mask
from aiplatform.data.quality.references import Reference
from aiplatform.data.quality.roles import turn_letters
from aiplatform.data.quality.texts import is_conversation
from aiplatform.data.quality.trimming import Trimmer
from aiplatform.data.quality.whitespace import tidy_white_space
from aiplatform.data.row_access import batches_at
from aiplatform.protocol.fixes import OURS, TOKEN_FINDINGS, fixes_of
from aiplatform.protocol.rows import RowFix
from aiplatform.protocol.specs import FixAction

ASKED_FOR: dict[type[Check], set[str]] = {
    Contamination: {"contamination"},
    LabelErrors: {"label_errors"},
    Leakage: {"leakage_exact", "leakage_near", "leakage_question"},
    NearDuplicates: {"near_duplicates"},
}
"""Expensive checks, which run only if one of their findings is to be fixed."""


def fixed_batches(
    base: Path,
    fix: RowFix,
    *,
    tokenizer: Path | None = None,
    max_length: int = 0,
    references: Sequence[Reference] = (),
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Yield the fixed rows in batches, each with the numbers of changed and of dropped rows.

    Args:
        base: The canonical Parquet file.
        fix: The fixes to apply.
        tokenizer: As in :func:`~aiplatform.data.quality.report.make_report`; required for findings
            that need it there.
        max_length: As in :func:`~aiplatform.data.quality.report.make_report`.
        references: As in :func:`~aiplatform.data.quality.report.make_report`.
        progress: Called with the fraction that is done, from 0 to 1.

    Raises:
        MalformedData: a finding has no such fix, or needs a tokenizer that was not given.
    """
    for code, action in fix.fixes.items():
        if (code in OURS or action != "drop") and action not in fixes_of(code):
            raise MalformedData("fix_unknown", finding=code, action=action)
        if code in TOKEN_FINDINGS and tokenizer is None:
            raise MalformedData("fix_needs_model", finding=code)
    schema = pq.read_schema(base)
    context = Context(shape_of(base), schema, row_count(base), tuple(references))
    stays = np.ones(context.rows, bool)
    codes = with_action(fix, "drop") | with_action(fix, "deduplicate")
    if codes:
        stays[dropped_rows(base, context, codes, tokenizer, max_length, progress)] = False
    if with_action(fix, "rebalance"):
        stays[surplus_rows(base)] = False
    text_fixes = text_fixes_of(fix)
    trimmer = None
    if fix.fixes.get("over_length") == "trim" and tokenizer is not None:
        trimmer = Trimmer(context, tokenizer, max_length)
    first = 0
    for batch in iter_batches(base):
        kept = stays[first : first + batch.num_rows]
        first += batch.num_rows
        fixed, touched = fix_texts(
            batch, context, text_fixes, trim=fix.fixes.get("unanswered") == "trim"
        )
        if trimmer is not None:
            # Trim last, because the other fixes may have shortened the texts.
            fixed, cut = trimmer.trim(fixed)
            touched |= cut
        gone = int((~kept).sum())
        yield fixed.filter(pa.array(kept)), int((touched & kept).sum()), gone
        progress(0.5 + first / context.rows / 2)


def fixed_rows(
    base: Path, fix: RowFix, positions: Sequence[int]
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Yield each row at ``positions`` with its position, before and after the text fixes.

    Fixes that drop rows have no effect here, because the caller knows which rows they drop.

    Args:
        base: The canonical Parquet file.
        fix: The fixes to apply; none may need a tokenizer.
        positions: Positions of rows, counted from 0.
    """
    context = Context(shape_of(base), pq.read_schema(base), row_count(base))
    text_fixes = text_fixes_of(fix)
    trim = fix.fixes.get("unanswered") == "trim"
    for places, batch in batches_at(base, positions):
        fixed, _ = fix_texts(batch, context, text_fixes, trim=trim)
        yield from zip(places, rows_of(batch), rows_of(fixed), strict=True)


def with_action(fix: RowFix, action: FixAction) -> set[str]:
    """Return the codes of the findings to be fixed by ``action``."""
    return {code for code, chosen in fix.fixes.items() if chosen == action}


def dropped_rows(
    base: Path,
    context: Context,
    codes: set[str],
    tokenizer: Path | None,
    max_length: int,
    progress: Callable[[float], None],
) -> npt.NDArray[np.int64]:
    """Return the numbers of all rows that have one of the findings ``codes``.

    Raises:
        MalformedData: a finding of a third-party check does not occur, or does not list its rows.
    """
    # Expensive checks run only if they are needed.
    kinds = [kind for kind in CHECKS if ASKED_FOR.get(kind, codes) & codes]
    run = CheckRun(context, kinds, tokenizer if codes & TOKEN_FINDINGS else None, max_length)
    run.execute(base, lambda done: progress(done / 2))
    found = [np.zeros(0, np.int64)]
    findings = run.findings()
    if unknown := codes - OURS - {finding.code for finding in findings}:
        raise MalformedData("fix_unknown", finding=min(unknown), action="drop")
    for finding in findings:
        if finding.code in codes:
            if "drop" not in finding.fixes:
                raise MalformedData("fix_unknown", finding=finding.code, action="drop")
            found.append(np.array(finding.rows, np.int64))
    return np.concatenate(found)


def text_fixes_of(fix: RowFix) -> list[TextFix]:
    """Return the functions to apply to each text, in order.

    Masking comes last, because some personal data is recognisable only after the other fixes.
    """
    text_fixes: list[TextFix] = []
    if fix.fixes.get("whitespace") == "trim":
        text_fixes.append(lambda text, _: tidy_white_space(text))
    if with_action(fix, "repair"):
        text_fixes.append(lambda text, _: repair_encoding(text))
    if with_action(fix, "strip"):
        text_fixes.append(lambda text, _: strip_markup(text))
    if codes := with_action(fix, "mask"):
        kinds = tuple(kind for kind in KINDS if f"personal_{kind.name}" in codes)
        text_fixes.append(lambda text, key: mask(text, kinds, key))
    return text_fixes


def fix_texts(
    batch: pa.RecordBatch, context: Context, text_fixes: list[TextFix], *, trim: bool
) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Apply ``text_fixes`` to a batch; also return one boolean per row: True if it changed.

    Args:
        batch: The rows.
        context: The properties of the dataset.
        text_fixes: The functions to apply to each text.
        trim: True to remove the messages after the last answer of a conversation.
    """
    touched = np.zeros(batch.num_rows, bool)
    columns = {name: batch.column(name) for name in batch.schema.names}
    as_json = set(json_columns(batch.schema))
    for name in context.content:
        column = columns[name]
        if is_conversation(column):
            if trim:
                column = remove_unanswered(column)
            columns[name] = fix_conversations(column, text_fixes)
        elif name in as_json and text_fixes:
            columns[name] = fix_nested_texts(
                column, lambda text, key: apply_all(text, text_fixes, key)
            )
        elif pa.types.is_string(column.type) and text_fixes:
            columns[name] = fixed_texts(column, text_fixes)
        if columns[name] is not batch.column(name):
            touched |= changed_rows(batch.column(name), columns[name])
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema), touched


def fixed_texts(texts: pa.Array, text_fixes: list[TextFix]) -> pa.Array:
    """Apply all text fixes to each text; nulls are kept."""
    return pa.array(
        [None if t is None else apply_all(t, text_fixes) for t in texts.to_pylist()], pa.string()
    )


def apply_all(text: str, text_fixes: list[TextFix], key: str = "") -> str:
    """Apply all text fixes to a text; ``key`` is its key if it is in a JSON object."""
    return reduce(lambda fixed, text_fix: text_fix(fixed, key), text_fixes, text)


def fix_conversations(conversations: pa.Array, text_fixes: list[TextFix]) -> pa.Array:
    """Apply all text fixes to the message texts of conversations."""
    if not text_fixes:
        return conversations
    messages = conversations.flatten()
    fields = list(messages.type)
    parts = messages.flatten()
    parts[1] = fixed_texts(parts[1], text_fixes)
    return _conversations(
        conversations, pa.StructArray.from_arrays(parts, fields=fields), lengths_of(conversations)
    )


def remove_unanswered(conversations: pa.Array) -> pa.Array:
    """Remove the messages after the last answer; conversations without an answer are unchanged."""
    lengths = lengths_of(conversations)
    starts = np.cumsum(lengths) - lengths
    kept = lengths.copy()
    compact = _conversations(conversations, conversations.flatten(), lengths)
    for row, turns in enumerate(turn_letters(compact)):
        if "a" in turns:
            kept[row] = turns.rindex("a") + 1
    positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    messages = conversations.flatten().filter(pa.array(positions < np.repeat(kept, lengths)))
    return _conversations(conversations, messages, kept)


def lengths_of(conversations: pa.Array) -> npt.NDArray[np.int64]:
    """Return the number of messages of each conversation; 0 for a missing one."""
    lengths = conversations.value_lengths().fill_null(0).to_numpy()
    return np.asarray(lengths, np.int64)


def _conversations(like: pa.Array, messages: pa.Array, lengths: npt.NDArray[np.int64]) -> pa.Array:
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    nulls = like.is_null() if like.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets), messages, type=like.type, mask=nulls)


def changed_rows(before: pa.Array, after: pa.Array) -> npt.NDArray[np.bool_]:
    """Return one boolean per value: True if the value has changed."""
    if before.equals(after):
        return np.zeros(len(before), bool)
    pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
    return np.fromiter((old != new for old, new in pairs), bool, len(before))


def repair_encoding(text: str) -> str:
    """Undo wrong decoding: ftfy handles Latin-1 and Windows-1252, this module GBK.

    Lost characters (U+FFFD) can't be restored.
    """
    if text.isascii():
        return text
    return FOREIGN.sub(lambda run: _from_gbk(run[0]), ftfy.fix_encoding(text))


def _from_gbk(run: str) -> str:
    # A run that ends inside a character can't be fully restored, and is left unchanged.
    if not was_utf8(run):
        return run
    try:
        return run.encode("gb18030").decode("utf-8")
    except UnicodeDecodeError:
        return run


def strip_markup(text: str) -> str:
    """Remove HTML tags and decode entities, except in code."""
    if "<" not in text and "&" not in text:
        return text
    pieces, done = [], 0
    for code in CODE.finditer(text):
        pieces += [_without_markup(text[done : code.start()]), code[0]]
        done = code.end()
    bare = "".join([*pieces, _without_markup(text[done:])])
    # Removed tags at the edges leave line breaks; line breaks of the original text are kept.
    return bare if text != text.strip() else bare.strip("\n")


BREAKS = ("<br", "<p", "</p", "<div", "</div", "<li", "<tr", "<hr", "<h")


def _without_markup(prose: str) -> str:
    bare = TAG.sub(lambda tag: "\n" if tag[0].lower().startswith(BREAKS) else "", prose)
    return ENTITY.sub(lambda entity: unescape(entity[0]).replace("\xa0", " "), bare)
