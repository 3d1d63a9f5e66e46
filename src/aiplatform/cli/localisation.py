"""Help and usage errors in Chinese, because typer's own texts are only in English."""

import re
from typing import Any

from aiplatform.language import catalogue, current, tr

FIXED = (
    "DEPRECATED_STRING",
    "DEFAULT_STRING",
    "ENVVAR_STRING",
    "REQUIRED_LONG_STRING",
    "ARGUMENTS_PANEL_TITLE",
    "OPTIONS_PANEL_TITLE",
    "COMMANDS_PANEL_TITLE",
    "ERRORS_PANEL_TITLE",
    "ABORTED_TEXT",
    "RICH_HELP",
)
"""Constants in ``typer.rich_utils`` that contain text shown on help pages."""

LIBRARY_MESSAGES = (
    "Got unexpected extra argument(s) ({0})",
    "Invalid value for {0}: {1}",
    "Invalid value: {0}",
    "Missing command.",
    "Missing argument {0}.",
    "Missing option {0}. {1}",
    "Missing option {0}.",
    "No such command {0}. Did you mean {1}?",
    "No such command {0}.",
    "No such option: {0} (Possible options: {1})",
    "No such option: {0} Did you mean {1}?",
    "No such option: {0}",
    "Option {0} requires an argument.",
    "Option {0} does not take a value.",
    "Input should be a valid integer, unable to parse string as an integer",
    "Input should be a valid number, unable to parse string as a number",
    "Input should be greater than or equal to {0}",
    "Input should be less than or equal to {0}",
    "Input should be greater than {0}",
    "Input should be less than {0}",
    "{0} is not one of {1}.",
    "{0} does not match the formats {1}.",
    "file {0} does not exist.",
    "directory {0} does not exist.",
    "path {0} does not exist.",
    "file {0} is a directory.",
    "directory {0} is a file.",
)
"""Usage errors from typer, as templates, in the order in which they are tried.

Typer only returns the complete English sentence, so it is matched against these templates. A
sentence that matches none is shown unchanged.
"""


def localise(command: Any) -> None:
    """Translate the help of ``command`` and all its subcommands if the language is Chinese.

    Args:
        command: a command as ``typer.main.get_command`` returns it; it is changed in place.
    """
    if current() == "en":
        return
    from typer import rich_utils

    for name in FIXED:
        setattr(rich_utils, name, tr(getattr(rich_utils, name)))
    rich_utils._make_rich_text = _with_folding(rich_utils._make_rich_text)  # noqa: SLF001
    _translate(command)


def localise_error(error: Any) -> None:
    """Translate the message of a typer usage error in place if the language is Chinese."""
    if current() == "zh":
        text = _translate_sentence(error.format_message())
        error.format_message = lambda: text


def _with_folding(make_text: Any) -> Any:
    """Return a ``make_text`` whose texts are wrapped to the width of their column.

    Chinese has no spaces at which lines could be broken, and by default rich truncates words that
    are too long.
    """

    def make(**options: Any) -> Any:
        text = make_text(**options)
        text.overflow = "fold"
        return text

    return make


def _translate(command: Any) -> None:
    import typer

    for name in ("help", "short_help", "epilog", "rich_help_panel"):
        text = getattr(command, name, None)
        if isinstance(text, str):
            setattr(command, name, tr(text))
    usage = command.get_usage
    command.get_usage = lambda ctx: usage(ctx).replace("Usage:", tr("Usage:"), 1)
    option = command.get_help_option(typer.Context(command, help_option_names=["--help", "-h"]))
    for parameter in [*command.params, *([option] if option else [])]:
        for name in ("help", "rich_help_panel"):
            text = getattr(parameter, name, None)
            if isinstance(text, str):
                setattr(parameter, name, tr(text))
    for child in getattr(command, "commands", {}).values():
        _translate(child)


def _translate_sentence(sentence: str) -> str:
    """Return the translation of a sentence from typer, including its parts."""
    if sentence in catalogue():
        return tr(sentence)
    for template in LIBRARY_MESSAGES:
        pattern = re.sub(r"\\\{\d\\\}", "(.+)", re.escape(template))
        if found := re.fullmatch(pattern, sentence, re.DOTALL):
            parts = [_translate_sentence(part) for part in found.groups()]
            return tr(template).format(*parts)
    return sentence
