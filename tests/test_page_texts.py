"""Tests of the texts of the web interface, which are kept in one catalogue for each part."""

import re
from collections import defaultdict
from pathlib import Path

CATALOGUES = Path(__file__).parents[1] / "ui" / "src"
ENTRY = re.compile(r'(?:^|\n\n)msgid ("(?!").*")\nmsgstr ("(?!").*")(?=\n)')
"""A pattern for a text and its translation, if the text has no context that distinguishes it."""


def test_text_has_one_translation() -> None:
    """The build merges the catalogues, so a second translation would never be shown."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(CATALOGUES.rglob("zh-CN.po")):
        for text, translation in ENTRY.findall(file.read_text("utf-8")):
            found[text][translation].append(file.parents[1].name)
    assert len(found) > 1000
    assert {text: dict(ways) for text, ways in found.items() if len(ways) > 1} == {}
