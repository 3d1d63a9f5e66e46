"""Import of a model that an installed Python package contains as data files.

The code of the package is never imported.
"""

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.importing.files import Fetched


def find_in_package(name: str) -> Fetched:
    """Return the data files of an installed package, as listed in its metadata.

    Raises:
        JobError: The package is not installed.
    """
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
        # Files outside site-packages are left out, such as commands, which are listed as
        # ../../bin/x.
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
        # Old metadata may contain the full text of the licence here. A licence name is a single
        # line.
        if value and "\n" not in value and len(value) <= 100:
            return value.lower()
    return None
