"""Tests of the registry's rules: paths, file trees and the layout of models."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.server.registry.rules import (
    SOURCE,
    clashes,
    is_model_path,
    path_error,
    tree_hash,
)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "..", "../x", "a/../b", "a/./b", "a//b", "a/", "./a"),
        *("a\\b", "a\x00b", "a\nb", "a b", "a:b", "~/x", ".hidden", "a/.git/config", "模型.json"),
        *("x" * 256, "a/" * 250 + "b", "CON", "aux.txt", "a/LPT1.json", "name.", "%2e%2e/x"),
    ],
)
def test_path_error_of_unsafe_path_has_reason(path: str) -> None:
    fault = path_error(path)
    assert fault is not None
    assert fault.en
    assert fault.zh


@pytest.mark.parametrize(
    "path",
    [
        "config.json",
        "model-00001-of-00002.safetensors",
        "a/b/c.txt",
        "x" * 255,
        "special_tokens_map.json",
        "a@1+b=c.gguf",
        "console.json",
    ],
)
def test_path_error_of_plain_path_is_none(path: str) -> None:
    assert path_error(path) is None


@given(st.text(max_size=30))
def test_accepted_path_stays_in_its_directory(path: str) -> None:
    if path_error(path) is None:
        laid_out = Path("/inputs/source", path)
        assert laid_out.resolve().is_relative_to("/inputs/source")
        assert len(SOURCE + path) <= 500


def test_clashes() -> None:
    assert clashes("a/b", ["a"])
    assert clashes("a", ["a/b"])
    assert clashes("Config.json", ["config.json"])
    assert not clashes("config.json", ["config.json"])
    assert not clashes("ab", ["a"])
    assert not clashes("a.json", ["b.json", "a/b"])


def test_tree_hash_depends_on_paths_and_contents() -> None:
    files = [("b", "1" * 64), ("a", "2" * 64)]
    assert tree_hash(files) == tree_hash(reversed(files))
    assert tree_hash(files) != tree_hash([("b", "2" * 64), ("a", "1" * 64)])
    assert tree_hash(files) != tree_hash(files[:1])
    assert len(tree_hash([])) == 64


def test_is_model_path() -> None:
    assert all(map(is_model_path, ["README.md", "weights/config.json", "adapter/a.safetensors"]))
    assert not any(map(is_model_path, ["source/x", "x", "weightsx/a", "other/README.md"]))
