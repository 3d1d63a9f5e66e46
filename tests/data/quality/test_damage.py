"""Tests that the fast pre-checks for damaged text do not change the result."""

import pyarrow as pa
from ftfy.badness import is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform.data.quality.damage import (
    CERTAIN,
    FOREIGN,
    around_marks,
    damaged_of,
    was_utf8,
    was_utf8_to_its_end,
)

WRONGLY_READ = [
    *(text.encode().decode("gb18030", "ignore") for text in ("你好吗朋友", "天气很好。", "我们，")),
    *(text.encode().decode("cp1252", "ignore") for text in ("naïve", "“yes”", "…")),
]
PARTS = st.sampled_from(
    ["cafÃ©", "锟斤拷", "\ufffd", "\x85", "烫烫烫烫", " plain ", "é", "“so”", "今天", *WRONGLY_READ]
)
TEXTS = st.lists(PARTS | st.text(max_size=6)).map("".join)


def is_damaged_plainly(text: str) -> bool:
    return bool(
        CERTAIN.search(text)
        or any(map(is_bad, around_marks(text)))
        or any(map(was_utf8_to_its_end, FOREIGN.findall(text)))
    )


@settings(max_examples=500)
@given(TEXTS)
def test_was_utf8_agrees_with_the_check_of_the_whole_run(text: str) -> None:
    for run in [*FOREIGN.findall(text), text]:
        if len(run) >= 3 and not run.isascii():
            assert was_utf8(run) == was_utf8_to_its_end(run)


@settings(max_examples=300)
@given(st.lists(st.none() | TEXTS))
def test_damaged_of_agrees_with_the_plain_check(texts: list[str | None]) -> None:
    found = dict(damaged_of(pa.array(texts, pa.string())))
    assert found == {n: t for n, t in enumerate(texts) if t and is_damaged_plainly(t)}


def test_damaged_of_finds_each_kind_of_damage() -> None:
    wrong = "你好吗朋友们".encode().decode("gb18030", "ignore")
    texts = ["plain", "“quoted” …", "今天天气很好", "cafÃ©", "锟斤拷", "a\ufffd", wrong, None, ""]
    assert [position for position, _ in damaged_of(pa.array(texts))] == [3, 4, 5, 6]
