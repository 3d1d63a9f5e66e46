"""Licences of the software in the platform: its Python packages and the packages of the page."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aiplatform.server.ui.pages import STATIC

OWN_NAME = "aiplatform"
EXTRAS = ("server", "llm", "otel", "deepspeed", "llama", "vllm")
"""Extras whose packages the running platform needs. Other extras are only for development."""

UNKNOWN = "unknown"
MAX_LICENCE = 100
"""Maximum length of a licence name. Some packages put the whole text into the name field."""

PACKAGES_OF_PAGE = STATIC / "licences.json"
"""File that the page's build writes; see ``ui/licences.ts``."""


@cache
def python_packages() -> list[dict[str, Any]]:
    """Return the name, version and licence of each installed package that the platform needs."""
    found: dict[str, Distribution] = {}
    waiting = [(OWN_NAME, frozenset(EXTRAS))]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # an optional part is not installed
        found[name] = package
        for required in _requirements(package, extras):
            if required not in seen:
                seen.add(required)
                waiting.append(required)
    return [_describe(found[name]) for name in sorted(found)]


def _requirements(
    package: Distribution, extras: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    for text in package.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def _describe(package: Distribution) -> dict[str, Any]:
    return {
        "name": package.metadata["Name"],
        "version": package.version,
        "licence": licence_of(package.metadata),
    }


def licence_of(metadata: Any) -> str:
    """Return the licence that a package's metadata names: SPDX, classifiers, or the older field."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or ()
        if text.startswith("License :: ") and text != "License :: OSI Approved"
    ]
    if classifiers:
        return ", ".join(classifiers)
    first = str(metadata.get("License") or "").strip().partition("\n")[0].strip()
    return first if 0 < len(first) <= MAX_LICENCE else UNKNOWN


@cache
def page_packages() -> list[dict[str, Any]]:
    """Return the name, version and licence of each page package; empty if the page is not built."""
    try:
        found: list[dict[str, Any]] = json.loads(PACKAGES_OF_PAGE.read_text("utf-8"))
    except FileNotFoundError:
        return []
    return found
