"""Recognise the shape of a dataset's rows, and convert rows to messages.

Columns by shape. Alternative names are in parentheses; optional columns follow a semicolon:

- chat: ``messages`` (conversations, conversation), lists of ``role`` and ``content``
- ShareGPT: ``conversations`` (messages, conversation), lists of ``from`` and ``value``; ``system``
- preference: ``prompt`` (question, query, instruction), ``chosen``, ``rejected``; ``system``
- unpaired preference: ``prompt`` (question, query, instruction, input), ``completion`` (response,
  answer, output), boolean ``label`` (kto_tag); ``input``, ``system``. Or without a prompt:
  ``completion`` (messages, conversations, conversation), a whole conversation
- Alpaca: ``instruction``, ``output`` (response, answer); ``input`` (context), ``history``,
  ``system``
- prompt/completion: ``prompt`` (question, query, input), ``completion`` (response, answer, output);
  ``system``
- embedding pairs: ``anchor`` and ``positive``; ``negative``
- scored pairs: ``sentence1`` (sentence_A), ``sentence2`` (sentence_B), ``score`` (similarity_score)
- classification: ``text`` (sentence, content), ``label`` (category, class, intent, sentiment)
- text: ``text`` (content, document)
- table: anything else

Columns with an alternative name are renamed; all other columns are kept. In preferences and
prompt/completion, each of the columns may contain conversations instead of text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from aiplatform.data.chunk import Values
from aiplatform.data.column_types import boolean_word
from aiplatform.data.conversations import CHAT, SHAREGPT, Spelling, spelling_of
from aiplatform.data.errors import MalformedData
from aiplatform.protocol.enums import DataShape

SAMPLE_ROWS = 100

Message = dict[str, str]
Messages = list[Message]


@dataclass(frozen=True, slots=True)
class Recognition:
    """A recognised shape, and its requirements for columns.

    Attributes:
        shape: The shape of the rows.
        renames: Canonical names, keyed by the name that was found, where they differ.
        conversations: Canonical columns that must contain conversations, with their spelling.
        texts: Canonical columns that must contain text.
        booleans: Canonical columns that must contain booleans.
    """

    shape: DataShape
    renames: dict[str, str] = field(default_factory=dict)
    conversations: dict[str, Spelling] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    booleans: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Rule:
    """The columns by which a shape is recognised.

    Attributes:
        shape: The shape.
        required: Canonical names of the required columns, each with the names it may have.
        optional: The same for columns that may be missing.
        any_scalar: Columns that may contain any scalar, not only text.
        booleans: Required columns that must contain booleans. A mapping must name them.
        may_converse: True if columns may contain conversations instead of text.
        must_converse: Required columns that must contain conversations.
    """

    shape: DataShape
    required: dict[str, tuple[str, ...]]
    optional: dict[str, tuple[str, ...]] = field(default_factory=dict)
    any_scalar: frozenset[str] = frozenset()
    booleans: frozenset[str] = frozenset()
    may_converse: bool = False
    must_converse: frozenset[str] = frozenset()


CONVERSATION_COLUMNS = ("messages", "conversations", "conversation")

LABELLED_CONVERSATIONS = _Rule(
    DataShape.UNPAIRED_PREFERENCE,
    {"completion": ("completion", *CONVERSATION_COLUMNS), "label": ("label", "kto_tag")},
    {"system": ("system",)},
    booleans=frozenset({"label"}),
    may_converse=True,
    must_converse=frozenset({"completion"}),
)
"""Conversations whose last answer is labelled good or bad, as in LLaMA-Factory."""

RULES = (
    _Rule(
        DataShape.PREFERENCE,
        {"chosen": ("chosen",), "rejected": ("rejected",)},
        {"prompt": ("prompt", "question", "query", "instruction"), "system": ("system",)},
        may_converse=True,
    ),
    # Rules with labels precede others that read answers, because bad answers must not be learned.
    _Rule(
        DataShape.UNPAIRED_PREFERENCE,
        {
            "prompt": ("prompt", "question", "query", "instruction", "input"),
            "completion": ("completion", "response", "answer", "output"),
            "label": ("label", "kto_tag"),
        },
        {"input": ("input",), "system": ("system",)},
        booleans=frozenset({"label"}),
        may_converse=True,
    ),
    LABELLED_CONVERSATIONS,
    _Rule(
        DataShape.ALPACA,
        {"instruction": ("instruction",), "output": ("output", "response", "answer")},
        {"input": ("input", "context"), "system": ("system",)},
    ),
    _Rule(
        DataShape.PROMPT_COMPLETION,
        {
            "prompt": ("prompt", "question", "query", "input"),
            "completion": ("completion", "response", "answer", "output"),
        },
        {"system": ("system",)},
        may_converse=True,
    ),
    _Rule(
        DataShape.EMBEDDING_PAIRS,
        {"anchor": ("anchor",), "positive": ("positive",)},
        {"negative": ("negative",)},
    ),
    _Rule(
        DataShape.SCORED_PAIRS,
        {
            "sentence1": ("sentence1", "sentence_A"),
            "sentence2": ("sentence2", "sentence_B"),
            "score": ("score", "similarity_score"),
        },
        any_scalar=frozenset({"score"}),
    ),
    _Rule(
        DataShape.CLASSIFICATION,
        {
            "text": ("text", "sentence", "content"),
            "label": ("label", "category", "class", "intent", "sentiment"),
        },
        any_scalar=frozenset({"label"}),
    ),
    _Rule(DataShape.TEXT, {"text": ("text", "content", "document")}),
)


def recognise(
    columns: Mapping[str, Values],
    mapped: Mapping[str, str] | None = None,
    *,
    untyped: bool = False,
) -> Recognition:
    """Recognise the shape of rows from the first rows, which are given as columns.

    Args:
        columns: The values of the first rows, by column.
        mapped: The user's column mapping: names in the file to canonical names. The shape is then
            one that has all these canonical columns.
        untyped: True if the format has no types, so that booleans are words.

    Raises:
        MalformedData: the columns don't fit the mapping.
    """
    if mapped:
        return _as_mapped(columns, mapped, untyped)
    samples = {name: _sample(values) for name, values in columns.items()}
    if "completion" not in samples:
        labelled = _match(LABELLED_CONVERSATIONS, samples, untyped)
        if labelled is not None:
            return labelled
    for name in CONVERSATION_COLUMNS:
        spelling = spelling_of(samples.get(name, ()))
        if spelling is not None:
            shape, canonical = _shape_and_column(spelling)
            renames = {} if canonical in columns else {name: canonical}
            if renames or name == canonical:
                texts = {"system"} & samples.keys() if spelling is SHAREGPT else frozenset()
                return Recognition(shape, renames, {canonical: spelling}, frozenset(texts))
    for rule in RULES:
        found = _match(rule, samples, untyped)
        if found is not None:
            return found
    return Recognition(DataShape.TABLE)


def _shape_and_column(spelling: Spelling) -> tuple[DataShape, str]:
    """Return the shape of conversations with this spelling, and the column that contains them."""
    if spelling is CHAT:
        return DataShape.CHAT, "messages"
    return DataShape.SHAREGPT, "conversations"


def _as_mapped(
    columns: Mapping[str, Values], mapped: Mapping[str, str], untyped: bool
) -> Recognition:
    renames = {name: target for name, target in mapped.items() if name != target}
    for name, target in mapped.items():
        if name not in columns:
            raise MalformedData("column_unknown", column=name)
        if target in columns and target not in mapped:
            raise MalformedData("map_taken", column=name, target=target)
    samples = {renames.get(name, name): _sample(values) for name, values in columns.items()}
    targets = set(mapped.values())
    for target in {"messages", "conversations"} & targets:
        spelling = spelling_of(samples[target])
        beside = {"system"} if spelling is SHAREGPT else set()
        if spelling is None or not targets <= {target, *beside}:
            break
        # As without a mapping, the spelling tells the name of the column.
        shape, canonical = _shape_and_column(spelling)
        source = next(name for name, other in mapped.items() if other == target)
        if canonical in columns and canonical not in mapped:
            raise MalformedData("map_taken", column=source, target=canonical)
        renames = {**renames, source: canonical}
        if source == canonical:
            del renames[source]
        texts = frozenset(beside & samples.keys())
        return Recognition(shape, renames, {canonical: spelling}, texts)
    for rule in RULES:
        if rule.booleans <= targets <= {*rule.required, *rule.optional}:
            found = _match(rule, samples, untyped)
            if found is not None and not targets & found.renames.keys():
                return replace(found, renames={**renames, **found.renames})
    raise MalformedData(
        "map_no_shape", targets=", ".join(sorted(targets)), columns=", ".join(list(columns)[:50])
    )


def _sample(values: Values) -> list[Any]:
    if isinstance(values, pa.Array):
        values = values.slice(0, SAMPLE_ROWS).to_pylist()
    return [value for value in values[:SAMPLE_ROWS] if value is not None]


def _match(rule: _Rule, samples: Mapping[str, Sequence[Any]], untyped: bool) -> Recognition | None:
    renames: dict[str, str] = {}
    conversations: dict[str, Spelling] = {}
    texts: set[str] = set()
    for canonical, spellings in {**rule.required, **rule.optional}.items():
        name = next((n for n in spellings if n in samples and n not in renames), None)
        if name is None or not _fits(rule, canonical, samples[name], untyped):
            if canonical in rule.required:
                return None
            continue
        if name != canonical:
            if canonical in samples:
                return None  # Another column has the canonical name.
            renames[name] = canonical
        spelling = spelling_of(samples[name])
        if rule.may_converse and spelling is not None:
            conversations[canonical] = spelling
        elif canonical not in rule.any_scalar | rule.booleans:
            texts.add(canonical)
    return Recognition(rule.shape, renames, conversations, frozenset(texts), rule.booleans)


def _fits(rule: _Rule, canonical: str, sample: Sequence[Any], untyped: bool) -> bool:
    """Return True if a column fits its role in a rule.

    One text among the first rows makes a column a text column; other values in it are reported as
    errors later. Booleans distinguish one shape from another, so all values must be booleans.
    """
    if canonical in rule.booleans:
        found = {boolean_word(value) if untyped else type(value) is bool for value in sample}
        return found - {None} == {True}
    if canonical in rule.any_scalar:
        return not any(isinstance(value, list | dict) for value in sample)
    converses = spelling_of(sample) is not None
    if canonical in rule.must_converse or (rule.may_converse and converses):
        return converses
    return not sample or any(type(value) is str for value in sample)


def to_messages(row: Mapping[str, Any], shape: DataShape) -> Messages | None:
    """Convert a row to a conversation with the roles of chat templates.

    For preference pairs, this is the chosen side. For unpaired preferences, it is the answer,
    whether good or bad. For Alpaca, ``instruction`` and ``input`` are joined by a line break, as in
    LLaMA-Factory.

    Returns:
        Messages of ``role`` (``system``, ``user``, ``assistant``, ``tool``) and ``content``; None
        if the shape has no conversations, a part is missing, or a message has no text.
    """
    convert = _CONVERTERS.get(shape)
    messages = convert(row) if convert else None
    return messages or None


def _of(values: Any, spelling: Spelling) -> Messages | None:
    if not isinstance(values, list):
        return None
    messages = []
    for value in values:
        text = value[spelling.text]
        if text is None:
            return None
        messages.append({"role": spelling.roles[value[spelling.speaker]], "content": text})
    return messages


def _side(value: Any, role: str) -> Messages | None:
    """Return one side of a pair, which is text or a conversation, as messages."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    spelling = spelling_of([value])
    return None if spelling is None else _of(value, spelling)


def _with_system(row: Mapping[str, Any], messages: Messages | None) -> Messages | None:
    system = row.get("system")
    if messages and isinstance(system, str) and system and messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    return messages


def _chat(row: Mapping[str, Any]) -> Messages | None:
    return _of(row.get("messages"), CHAT)


def _sharegpt(row: Mapping[str, Any]) -> Messages | None:
    return _with_system(row, _of(row.get("conversations"), SHAREGPT))


def _alpaca(row: Mapping[str, Any]) -> Messages | None:
    asked, answer = row.get("instruction"), row.get("output")
    if not isinstance(asked, str) or not isinstance(answer, str):
        return None
    if row.get("input"):
        asked = f"{asked}\n{row['input']}"
    messages: Messages = []
    for turn in row.get("history") or []:
        match turn:
            case [str(question), str(reply)]:
                messages.append({"role": "user", "content": question})
                messages.append({"role": "assistant", "content": reply})
            case _:
                return None
    messages.append({"role": "user", "content": asked})
    messages.append({"role": "assistant", "content": answer})
    return _with_system(row, messages)


def _pair(row: Mapping[str, Any], answer: str) -> Messages | None:
    end = _side(row.get(answer), "assistant")
    if not end:
        return None
    if row.get("prompt") is None:
        # Both sides of a preference pair may contain the prompt; an answer alone is incomplete.
        return _with_system(row, end) if len(end) > 1 else None
    start = _side(row["prompt"], "user")
    if not start:
        return None
    if end[: len(start)] == start and len(end) > len(start):
        start = []  # The answer repeats the prompt, as in UltraFeedback.
    return _with_system(row, [*start, *end])


def _preference(row: Mapping[str, Any]) -> Messages | None:
    return _pair(row, "chosen")


def _prompt_completion(row: Mapping[str, Any]) -> Messages | None:
    return _pair(row, "completion")


def _unpaired_preference(row: Mapping[str, Any]) -> Messages | None:
    prompt, more = row.get("prompt"), row.get("input")
    if more and isinstance(prompt, str):
        row = {**row, "prompt": f"{prompt}\n{more}"}
    return _pair(row, "completion")


def rejected_messages(row: Mapping[str, Any]) -> Messages | None:
    """Return the conversation of a preference pair that ends with the rejected side."""
    return _pair(row, "rejected") or None


_CONVERTERS: dict[DataShape, Callable[[Mapping[str, Any]], Messages | None]] = {
    DataShape.ALPACA: _alpaca,
    DataShape.CHAT: _chat,
    DataShape.PREFERENCE: _preference,
    DataShape.PROMPT_COMPLETION: _prompt_completion,
    DataShape.SHAREGPT: _sharegpt,
    DataShape.UNPAIRED_PREFERENCE: _unpaired_preference,
}

CONTENT_COLUMNS: dict[DataShape, tuple[str, ...]] = {
    DataShape.ALPACA: ("system", "history", "instruction", "input", "output"),
    DataShape.CHAT: ("messages",),
    DataShape.CLASSIFICATION: ("text", "label"),
    DataShape.EMBEDDING_PAIRS: ("anchor", "positive", "negative"),
    DataShape.PREFERENCE: ("system", "prompt", "chosen", "rejected"),
    DataShape.PROMPT_COMPLETION: ("system", "prompt", "completion"),
    DataShape.SCORED_PAIRS: ("sentence1", "sentence2", "score"),
    DataShape.SHAREGPT: ("system", "conversations"),
    DataShape.TEXT: ("text",),
    DataShape.UNPAIRED_PREFERENCE: ("system", "prompt", "input", "completion", "label"),
}
"""Columns that training reads, by shape; for a table, all columns."""

REQUIRED_COLUMNS: dict[DataShape, tuple[str, ...]] = {
    DataShape.ALPACA: ("instruction", "output"),
    DataShape.CHAT: ("messages",),
    DataShape.CLASSIFICATION: ("text", "label"),
    DataShape.EMBEDDING_PAIRS: ("anchor", "positive"),
    DataShape.PREFERENCE: ("chosen", "rejected"),
    DataShape.PROMPT_COMPLETION: ("prompt", "completion"),
    DataShape.SCORED_PAIRS: ("sentence1", "sentence2", "score"),
    DataShape.SHAREGPT: ("conversations",),
    DataShape.TEXT: ("text",),
    DataShape.UNPAIRED_PREFERENCE: ("prompt", "completion", "label"),
}
"""Columns in which a row needs a value to be usable for training, by shape."""

TEXT_COLUMNS: dict[DataShape, tuple[str, ...]] = {
    DataShape.CLASSIFICATION: ("text",),
    DataShape.EMBEDDING_PAIRS: ("anchor", "positive", "negative"),
    DataShape.SCORED_PAIRS: ("sentence1", "sentence2"),
    DataShape.TEXT: ("text",),
}
"""Columns that a model reads as separate texts, by shape; other shapes are conversations."""
