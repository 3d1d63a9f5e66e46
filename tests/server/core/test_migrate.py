"""Tests of the migrations."""

import importlib.util
from pathlib import Path

import pytest

from aiplatform.server.core.migrate import migrations_dir

VERSIONS = sorted((migrations_dir() / "versions").glob("*.py"))


@pytest.mark.parametrize("path", VERSIONS, ids=[path.stem for path in VERSIONS])
def test_downgrade_is_refused(path: Path) -> None:
    """A downgrade would delete data; the way back is a backup."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(RuntimeError, match="backup"):
        module.downgrade()
