"""Task specs as written by users: a file, options, and ``--set``."""

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.language import tr


def read_spec(path: Path) -> dict[str, Any]:
    """Read a spec file: JSON, TOML, or YAML if PyYAML is installed.

    Raises:
        CommandError: if the file is not a valid spec.
    """
    text = path.read_text(encoding="utf-8")
    try:
        match path.suffix.lower():
            case ".json":
                spec = json.loads(text)
            case ".toml":
                spec = tomllib.loads(text)
            case ".yaml" | ".yml":
                spec = _yaml(text)
            case _:
                raise _usage(tr("{path}: the name must end in .toml, .json or .yaml", path=path))
    except ValueError as error:
        raise _usage(f"{path}: {error}") from error
    if not isinstance(spec, dict):
        raise _usage(tr("{path} must contain names and values", path=path))
    return spec


def assign(spec: dict[str, Any], assignments: list[str]) -> None:
    """Apply ``key=value`` pairs to a spec; ``lora.rank=8`` sets a nested value.

    Values are decoded if they are JSON; otherwise they are strings.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise _usage(tr("--set {assignment}: write it as key=value", assignment=assignment))
        *path, last = key.split(".")
        place = spec
        for part in path:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise _usage(
                    tr(
                        "--set {key}: {part} is a single value and has no fields",
                        key=key,
                        part=part,
                    )
                )
            place = inner
        try:
            place[last] = json.loads(text)
        except ValueError:
            place[last] = text


def read_reward(text: str) -> dict[str, Any]:
    """Parse a reward: its kind, then settings, as in ``contains text="New York" weight=2``.

    Quotes keep a value with spaces together; backslashes have no special meaning. The JSON of
    ``json_schema`` and ``settings`` can be in a file: ``json_schema=@answer.json``.

    Raises:
        CommandError: if the text does not have this form.
    """
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.commenters = words.escape = ""
    try:
        kind, *pairs = words
    except ValueError as error:
        raise _usage(
            tr(
                "--reward {text}: write it as a kind and settings, such as "
                "'contains text=\"New York\" weight=2'",
                text=text,
            )
        ) from error
    reward: dict[str, Any] = {"kind": kind}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise _usage(tr("--reward {text}: write {pair} as key=value", text=text, pair=pair))
        reward[key] = _json_of(key, value) if key in {"json_schema", "settings"} else value
    return reward


def _json_of(key: str, value: str) -> Any:
    try:
        if value.startswith("@"):
            value = Path(value[1:]).read_text(encoding="utf-8")
        return json.loads(value)
    except (OSError, ValueError) as error:
        raise _usage(tr("--reward {key}: {error}", key=key, error=error)) from error


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise CommandError(
            tr("YAML needs the package PyYAML"),
            tr("Install it, or write the spec as TOML or JSON."),
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _usage(message: str) -> CommandError:
    return CommandError(message, exit_code=ExitCode.USAGE)
