"""A model that an installed Python distribution ships as data. Its code is never imported."""

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.importing.files import Fetched


def find_in_package(name: str) -> Fetched:
    """The data files of an installed distribution, by its own list of them."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise JobError(
            f"The package {name!r} is not installed on the worker: "
            f"run 'pip install --no-deps {name}' there."
        ) from None
    root = Path(str(found.locate_file(""))).resolve()
    files = []
    for entry in found.files or []:
        path = Path(str(found.locate_file(entry)))
        # Scripts are listed as ../../bin/x; nothing outside the package directory is a model.
        if path.suffix != ".py" and path.resolve().is_relative_to(root):
            files.append(path)
    return Fetched(
        root,
        {"kind": "package", "package": found.metadata["Name"], "version": found.version},
        license=_license(found),
        files=sorted(files),
    )


def _license(found: Distribution) -> str | None:
    for key in ("License-Expression", "License"):
        values = found.metadata.get_all(key) or []
        value = str(values[0]) if values else ""
        # Old metadata may hold the whole text there; a name fits in a line.
        if value and "\n" not in value and len(value) <= 100:
            return value.lower()
    return None
