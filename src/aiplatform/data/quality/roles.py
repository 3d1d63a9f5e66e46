"""Check the order of speakers in conversations."""

import itertools

import pyarrow as pa

from aiplatform.data.conversations import SPELLINGS
from aiplatform.data.errors import Words
from aiplatform.data.quality.check import (
    MAX_EXAMPLES,
    Check,
    Context,
    Finding,
    Severity,
    row_preview,
)
from aiplatform.data.shapes import CONVERSATION_COLUMNS

LETTERS = {"system": "s", "user": "u", "assistant": "a", "tool": "t"}


class Roles(Check):
    """A check for conversations with no answer, no final answer, or turns in the wrong order."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # In a table, a column with such a name may contain something else.
        names = [
            name
            for name in CONVERSATION_COLUMNS
            if name in context.content and pa.types.is_list(context.schema.field(name).type)
        ]
        self._column = names[0] if names else None
        self._tallies = {problem: context.new_tally() for problem in PROBLEMS}
        self._known: dict[str, str | None] = {"": None}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        if self._column is None:
            return
        for row, turns in enumerate(turn_letters(batch.column(self._column))):
            if turns not in self._known:
                self._known[turns] = problem_of(turns)
            problem = self._known[turns]
            if problem is not None:
                tally = self._tallies[problem]
                wanted = len(tally.examples) < MAX_EXAMPLES
                tally.add(first_row + row, row_preview(batch, row) if wanted else "")

    def findings(self) -> list[Finding]:
        found = []
        for code, (severity, message, effect) in PROBLEMS.items():
            tally = self._tallies[code]
            if tally.count:
                found.append(
                    Finding(
                        code,
                        severity,
                        tally.count,
                        message,
                        effect,
                        column=self._column,
                        examples=tally.examples,
                        rows=tally.rows,
                    )
                )
        return found


PROBLEMS = {
    "no_answer": (
        Severity.ERROR,
        Words("there is no message from the assistant", "没有助手（assistant）消息"),
        Words(
            "There is no answer to learn; training leaves these rows out.",
            "没有可学习的回答；训练时会跳过这些数据。",
        ),
    ),
    "unanswered": (
        Severity.WARNING,
        Words(
            "the conversation does not end with an answer of the assistant",
            "对话不是以助手的回答结束",
        ),
        Words(
            "What comes after the last answer is not learned.", "最后一个回答之后的内容不会被学习。"
        ),
    ),
    "role_order": (
        Severity.WARNING,
        Words(
            "the turns are out of order: the system message is not first, the assistant speaks "
            "first, or the same speaker has two turns in a row",
            "角色顺序有误：system 消息不在最前、由助手开场，或同一角色连续发言",
        ),
        Words(
            "Many chat templates refuse such rows; others teach a wrong format.",
            "许多对话模板会拒绝这类数据，或使模型学到错误的格式。",
        ),
    ),
}


def turn_letters(conversations: pa.Array) -> list[str]:
    """Return the speakers of each conversation as letters: ``sua`` for system, user, assistant."""
    speakers = conversations.values.field(0)
    coded = speakers.dictionary_encode()
    spelling = next(
        s for s in SPELLINGS if s.speaker == conversations.type.value_type.field(0).name
    )
    table = [LETTERS[spelling.roles[name]] for name in coded.dictionary.to_pylist()]
    letters = "".join([table[index] for index in coded.indices.to_pylist()])
    bounds = conversations.offsets.to_pylist()
    return [letters[start:end] for start, end in itertools.pairwise(bounds)]


def problem_of(turns: str) -> str | None:
    """Return the code of the worst problem in an order of turns; None if it is correct."""
    if "a" not in turns:
        return "no_answer"
    if not in_order(turns):
        return "role_order"
    return None if turns.endswith("a") else "unanswered"


def in_order(turns: str) -> bool:
    """Return True if the turns alternate after at most one system message.

    Tool messages must follow the assistant.
    """
    spoken = turns.removeprefix("s")
    return (
        spoken.startswith("u")
        and "s" not in spoken
        and "uu" not in spoken
        and "aa" not in spoken
        and "ut" not in spoken
    )
