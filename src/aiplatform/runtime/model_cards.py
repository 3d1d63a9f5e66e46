"""Model cards: README.md files with YAML front matter, in the format of model hubs."""

from pathlib import Path
from typing import Any

from aiplatform.protocol.enums import ModelKind

FENCE = "---\n"
PIPELINES = {
    ModelKind.CLASSIFIER: "text-classification",
    ModelKind.ENCODER: "feature-extraction",
    ModelKind.LANGUAGE_MODEL: "text-generation",
    ModelKind.REWARD_MODEL: "text-classification",
}
"""The name that model hubs use for the task of each kind of model."""


def write_card(path: Path, front_matter: dict[str, Any], body: str) -> None:
    """Write a model card; entries of ``front_matter`` that are None are left out."""
    import yaml

    facts = {key: value for key, value in front_matter.items() if value is not None}
    text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    path.write_text(f"{FENCE}{text}{FENCE}\n{body.strip()}\n", encoding="utf-8")


def read_front_matter(path: Path) -> dict[str, Any]:
    """Return a card's front matter; empty if there is no card or it can't be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return front_matter(text)


def front_matter(text: str) -> dict[str, Any]:
    """Return the front matter in a card's text; empty if there is none or it is invalid."""
    import yaml

    text = text.replace("\r\n", "\n")
    if not text.startswith(FENCE):
        return {}
    head, fence, _ = text[len(FENCE) :].partition(f"\n{FENCE}")
    if not fence:
        return {}
    try:
        facts = yaml.safe_load(head)
    except yaml.YAMLError:
        return {}
    return facts if isinstance(facts, dict) else {}


def license_of(model: Path) -> str | None:
    """Return the licence named by the card of a model directory or of its weights."""
    for card in (model / "README.md", model / "weights" / "README.md"):
        name = read_front_matter(card).get("license")
        if isinstance(name, str) and name:
            return name
    return None
