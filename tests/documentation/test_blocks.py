"""Tests of reading code blocks and comparing outputs."""

from pathlib import Path

import pytest

from tests.documentation.blocks import (
    Block,
    find_difference,
    has_same_code,
    is_translation,
    read_blocks,
)

PAGE = """\
# A page

```bash
aiplatform status
```

```text
ready at …
```

Prose.

```text
not an output
```

<!-- not run: needs a mail server -->
```python
send()
```
"""


def test_read_blocks_output_and_reason_belong_to_their_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    bash, text, python = read_blocks(page)
    assert (bash.language, bash.line, bash.output) == ("bash", 3, "ready at …\n")
    assert bash.reason is None
    assert not text.is_runnable
    assert (python.code, python.reason) == ("send()\n", "needs a mail server")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("b\n", "a\nb\nc\n"),
        ("took … s\n", "took 0.25 s\n"),
        ("a\n…\nd\n", "a\nb\nc\nd\n"),
        ("a\n…\nd\n", "a\nd\n"),
        ("a  \nb\n", "a\nb   \n"),
    ],
)
def test_find_difference_output_that_is_printed_is_accepted(shown: str, printed: str) -> None:
    assert find_difference(shown, printed) is None


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        ("a\nc\n", "a\nb\nc\n", "c"),
        ("a\nb\n", "b\na\n", "b"),
        ("took … s\n", "took 3\n", "took … s"),
        ("b\n", "abc\n", "b"),
    ],
)
def test_find_difference_names_the_first_line_that_is_missing(
    shown: str, printed: str, missing: str
) -> None:
    assert find_difference(shown, printed) == missing


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ('chat faq "What is AI?"\n', 'chat faq "什么是人工智能？"\n', True),
        ("up  # starts it\n", "up  # 启动\n", True),
        ("deploy create faq\n", "deploy create qa\n", False),
        ('chat faq "What is AI?"\n', 'chat qa "什么是人工智能？"\n', False),
        ("up\ndown\n", "up\n", False),
    ],
)
def test_is_translation_only_comments_and_chinese_texts_may_differ(
    ours: str, theirs: str, same: bool
) -> None:
    page = Path("page.md")
    assert is_translation(Block(page, 1, "bash", ours), Block(page, 1, "bash", theirs)) is same


def test_has_same_code_translated_comments_make_no_difference() -> None:
    ours, theirs, other = (
        Block(Path("page.md"), 1, "bash", code)
        for code in ("up  # starts it\n", "up  # 启动\n", "down  # starts it\n")
    )
    assert has_same_code(ours, theirs)
    assert not has_same_code(ours, other)
