"""Columns of conversations (lists of messages) in Arrow.

A column keeps the keys (called *spelling*) of its upload: chat (``role``, ``content``) or ShareGPT
(``from``, ``value``). All other keys of a message (``name``, ``tool_calls``, ``weight``) are kept
as JSON text in a third field, ``extra``, which exists only if at least one message needs it.
Content given as a list of text parts is joined into one text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import Words, type_words
from aiplatform.data.json_text import NoJsonFormError, json_text
from aiplatform.data.limits import MAX_DEPTH

EXTRA: Final = "extra"


@dataclass(frozen=True, slots=True)
class Spelling:
    """The message keys and the known speakers of one conversation format.

    Attributes:
        speaker: The key of the speaker.
        text: The key of the text.
        roles: For each known speaker, its role in chat templates.
    """

    speaker: str
    text: str
    roles: dict[str, str]

    def arrow_type(self, *, extra: bool) -> pa.DataType:
        """Return the Arrow type of a column of such conversations."""
        names = [self.speaker, self.text, *([EXTRA] if extra else [])]
        return pa.list_(pa.struct([(name, pa.string()) for name in names]))


CHAT = Spelling(
    "role",
    "content",
    {
        "assistant": "assistant",
        "developer": "system",  # OpenAI's newer name; chat templates know only "system".
        "function": "tool",
        "system": "system",
        "tool": "tool",
        "user": "user",
    },
)
SHAREGPT = Spelling(
    "from",
    "value",
    {
        "assistant": "assistant",
        "chatgpt": "assistant",
        "function_call": "assistant",
        "gpt": "assistant",
        "human": "user",
        "observation": "tool",
        "system": "system",
        "tool": "tool",
        "user": "user",
    },
)
SPELLINGS = (CHAT, SHAREGPT)


def spelling_of(values: Iterable[Any]) -> Spelling | None:
    """Return the spelling of the first message with a speaker; None if there is no such message."""
    for value in values:
        if type(value) is list and value and type(value[0]) is dict:
            for spelling in SPELLINGS:
                if spelling.speaker in value[0]:
                    return spelling
    return None


def is_clean(column: pa.Array) -> bool:
    """Return True if an Arrow column can be used without conversion.

    That is the case if every message has only a speaker and text, neither is missing, and all
    speakers are known.
    """
    kind = column.type
    if not pa.types.is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    names = [kind.value_type.field(i).name for i in range(kind.value_type.num_fields)]
    spelling = next((s for s in SPELLINGS if names == [s.speaker, s.text]), None)
    if spelling is None or kind != spelling.arrow_type(extra=False):
        return False
    messages = column.flatten()
    speakers, texts = messages.flatten()
    if messages.null_count or speakers.null_count or texts.null_count:
        return False
    return set(pc.unique(speakers).to_pylist()) <= spelling.roles.keys()


def build(chunk: Chunk, column: str, spelling: Spelling) -> pa.Array:
    """Convert the conversations of a column to Arrow; null and empty conversations are kept.

    Raises:
        MalformedData: a value is not a conversation.
    """
    values = chunk.columns[column]
    if isinstance(values, pa.Array):
        if is_clean(values) and values.type == spelling.arrow_type(extra=False):
            return values
        values = values.to_pylist()
    parts = _plain(values, spelling) or _careful(chunk, column, values, spelling)
    fields = [pa.array(part, pa.string()) for part in parts.fields]
    kind = spelling.arrow_type(extra=len(fields) == 3)
    structs = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    offsets = pa.array(parts.offsets, pa.int32())
    return pa.ListArray.from_arrays(offsets, structs, type=kind)


@dataclass(slots=True)
class _Parts:
    """The messages of many conversations, field by field, and the offsets of the conversations.

    A null offset stands for a null conversation.
    """

    fields: list[list[str | None]]
    offsets: list[int | None]


def _plain(values: Sequence[Any], spelling: Spelling) -> _Parts | None:
    """Return the parts if all conversations are valid and have no extras; otherwise None."""
    speakers: list[Any] = []
    texts: list[Any] = []
    offsets: list[int | None] = [0]
    speaker_key, text_key = spelling.speaker, spelling.text
    keys = 0
    try:
        for conversation in values:
            if type(conversation) is not list:
                return None
            for message in conversation:
                speakers.append(message[speaker_key])
                texts.append(message[text_key])
                keys += len(message)
            offsets.append(len(speakers))
    except (KeyError, TypeError, IndexError):
        return None
    if keys != 2 * len(speakers) or set(map(type, texts)) - {str}:
        return None
    if set(map(type, speakers)) - {str} or set(speakers) - spelling.roles.keys():
        return None
    return _Parts([speakers, texts], offsets)


def _careful(chunk: Chunk, column: str, values: Sequence[Any], spelling: Spelling) -> _Parts:
    parts = _Parts([[], [], []], [])
    any_extra = False
    for row, conversation in enumerate(values):
        if conversation is None:
            parts.offsets.append(None)
            continue
        if type(conversation) is not list:
            found = type_words(conversation)
            raise chunk.error(row, "messages_not_list", column=column, found=found)
        parts.offsets.append(len(parts.fields[0]))
        for index, message in enumerate(conversation, 1):
            if type(message) is not dict:
                found = type_words(message)
                raise chunk.error(
                    row, "message_not_object", column=column, index=index, found=found
                )
            speaker, text, extra = _message(chunk, row, column, index, message, spelling)
            parts.fields[0].append(speaker)
            parts.fields[1].append(text)
            parts.fields[2].append(extra)
            any_extra |= extra is not None
    parts.offsets.append(len(parts.fields[0]))
    if not any_extra:
        parts.fields.pop()
    return parts


def _message(
    chunk: Chunk, row: int, column: str, index: int, message: dict[str, Any], spelling: Spelling
) -> tuple[str, str | None, str | None]:
    speaker = message.get(spelling.speaker)
    if type(speaker) is not str or speaker not in spelling.roles:
        raise chunk.error(
            row,
            "role_unknown",
            column=column,
            index=index,
            key=spelling.speaker,
            role=_shown(speaker),
            known=", ".join(sorted(spelling.roles)),
        )
    text = _whole(message.get(spelling.text))
    if text is not None and type(text) is not str:  # Beside a tool call, the text may be null.
        found = type_words(text)
        raise chunk.error(
            row, "content_not_text", column=column, index=index, key=spelling.text, found=found
        )
    known = (spelling.speaker, spelling.text)
    rest = {k: v for k, v in message.items() if k not in known and v is not None}
    try:
        return speaker, text, json_text(rest) if rest else None
    except NoJsonFormError as error:
        raise chunk.error(
            row, error.reason, column=column, limit=MAX_DEPTH, found=error.found
        ) from error


def _whole(content: Any) -> Any:
    """Join content given as a list of text parts (as in OpenAI's messages), one part per line.

    Any other content is returned unchanged. A list with other parts, such as images, can't be used
    for training; the caller rejects it.
    """
    if type(content) is not list or not content:
        return content
    for part in content:
        if type(part) is not dict or part.get("type") != "text":
            return content
        held = {key for key, value in part.items() if value is not None}
        if held != TEXT_PART or type(part["text"]) is not str:
            return content
    return "\n".join(part["text"] for part in content)


TEXT_PART = {"type", "text"}


def _shown(speaker: Any) -> str | Words:
    if speaker is None:
        return Words("null or none at all", "空或缺失")
    return f"“{speaker[:50]}”" if type(speaker) is str else str(speaker)[:50]
