"""Tests that every command and all Python code in the documentation work as written.

Each page is followed from top to bottom. `prepare/PAGE.sh` and `prepare/PAGE.py` create the
prerequisites of a guide, such as a dataset or an experiment. Translations have the same code,
except for blocks with Chinese text, which are run, too.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.documentation.blocks import Block, code_lines, has_same_code, is_translation, read_blocks
from tests.documentation.conftest import ROOT, Reader, public_python
from tests.e2e.production import missing

GENERATED = {"api.md", "cli.md", "settings.md"}
"""Reference pages, which contain no instructions."""
FIRST = ("README.md", "docs/getting-started.md")
"""Pages that start a platform themselves."""
WITH_REAL_MODEL = {"README.md"}
"""Pages that import, train and serve SmolLM2 itself.

The other pages run the same commands, with a tiny model in the package.
"""
GUIDES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "docs").glob("*.md")
    if path.name not in GENERATED and any(block.is_runnable for block in read_blocks(path))
)
TRANSLATED = [
    "README.md",
    *sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "docs").glob("*.md")
        if path.name not in GENERATED | {"index.md"}
    ),
]
"""Pages with a Chinese version: all but the reference pages and the front page."""
PROGRAMS = ("curl", "jq")
"""Other programs that the guides' commands use and that a machine may lack."""
PAGES = [*FIRST, *(page for page in GUIDES if page not in FIRST)]


def translation_of(page: str) -> Path:
    """Return the Chinese version of an English page."""
    if page == "README.md":
        return ROOT / "README.zh.md"
    return ROOT / "docs/zh" / Path(page).name


def name_of_page(link: str) -> str:
    """Return the name of the file that a link leads to, in the same form for both languages."""
    return link.partition("#")[0].rpartition("/")[2].replace(".zh.", ".")


@dataclass(frozen=True)
class Structure:
    """The structure of a page, which its translation must share."""

    headings: list[str]
    table_rows: int
    list_items: int
    links: list[str]
    settings: list[str]

    @classmethod
    def read(cls, page: Path) -> "Structure":
        """Return a page's structure, in which links are reduced to the name of the page."""
        prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        links = re.findall(r"\]\(([^)\s]+)\)", prose)
        return cls(
            headings=re.findall(r"^(#+) ", prose, re.MULTILINE),
            table_rows=len(re.findall(r"^\|", prose, re.MULTILINE)),
            list_items=len(re.findall(r"^(?:- |\d+\. )", prose, re.MULTILINE)),
            links=sorted({name_of_page(link) for link in links}),
            settings=sorted(set(re.findall(r"AIPLATFORM_[A-Z_]*[A-Z]", prose))),
        )


def runnable_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that contain commands or Python code."""
    return [block for block in read_blocks(page) if block.is_runnable]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", PAGES)
def test_page_every_block_runs_and_prints_what_is_shown(
    page: str, reader: Reader, record_property: Any
) -> None:
    stem = Path(page).stem
    if stem == "scripts" and public_python() is None:
        pytest.skip("scripts run as users of their own, who can't run the Python of this machine")
    blocks = runnable_blocks(ROOT / page)
    for program in PROGRAMS:
        used = any(re.search(rf"(^|\| ){program} ", block.code, re.MULTILINE) for block in blocks)
        if used and shutil.which(program) is None:
            missing(f"{program} is not installed (Debian: apt-get install {program})")
    fresh = any("aiplatform up" in block.code and not block.reason for block in blocks)
    reader.begin_page(
        fresh=fresh, project=None if fresh else stem, uses_real_model=page in WITH_REAL_MODEL
    )
    reader.prepare(stem)
    for block, other in zip(blocks, runnable_blocks(translation_of(page)), strict=True):
        if block.reason is not None:
            record_property("documented_not_run", f"{block.page.name}: {block.reason}")
            continue
        reader.check_block(block)
        record_property("documented_run", str(block))
        if has_same_code(block, other):
            record_property("documented_same", str(other))
        else:
            reader.check_block(other)
            record_property("documented_run", str(other))


@pytest.mark.parametrize("page", PAGES)
def test_translation_has_the_same_code_blocks(page: str) -> None:
    translation = translation_of(page)
    assert translation.exists(), f"{page} has no Chinese version"
    ours, theirs = runnable_blocks(ROOT / page), runnable_blocks(translation)
    assert [block.reason for block in theirs] == [block.reason for block in ours]
    for block, other in zip(ours, theirs, strict=True):
        assert is_translation(block, other), f"{other} is not {block}"
        assert block.output == other.output, f"{other} shows another output than {block}"


@pytest.mark.parametrize("page", TRANSLATED)
def test_translation_has_the_same_structure(page: str) -> None:
    """Compare headings, tables, lists, links and settings, to find missing paragraphs."""
    ours, theirs = Structure.read(ROOT / page), Structure.read(translation_of(page))
    assert theirs == ours


@pytest.mark.parametrize("page", TRANSLATED)
def test_translation_links_to_chinese_pages(page: str) -> None:
    translation = translation_of(page)
    links = re.findall(r"\]\(([^)#\s]+\.md)", translation.read_text("utf-8"))
    targets = [(translation.parent / link).resolve() for link in links]
    english = [ROOT / name for name in TRANSLATED if name != "README.md"]
    assert [str(target) for target in targets if target in english] == []


@pytest.mark.parametrize("page", PAGES)
def test_blocks_that_differ_in_a_translation_share_no_command(page: str) -> None:
    """Check that no command runs twice: a block that differs is run in both languages."""
    pairs = zip(runnable_blocks(ROOT / page), runnable_blocks(translation_of(page)), strict=True)
    for ours, theirs in pairs:
        if ours.language != "python" and not has_same_code(ours, theirs):
            repeated = set(code_lines(ours)) & set(code_lines(theirs))
            assert not repeated, f"{ours} and {theirs} both run {repeated}"


def test_blocks_marked_as_not_run_have_reasons() -> None:
    marked = [b for page in PAGES for b in runnable_blocks(ROOT / page) if b.reason is not None]
    assert all(block.reason and len(block.reason) > 10 for block in marked)
