"""The language of the texts that the command line, the SDK and `aiplatform up` show.

The texts in the code are English. ``zh.json`` in this directory maps each of them to Chinese; a
test fails if one is missing. The standard library's gettext module needs catalogues that are
compiled at installation; a plain JSON file does not. The server's responses contain both languages,
and the request's ``Accept-Language`` selects one.
"""

import json
import locale
import os
import shlex
import string
from functools import cache
from importlib.resources import files
from typing import Literal

Language = Literal["en", "zh"]

VARIABLES = ("AIPLATFORM_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
"""Environment variables that name the language. The first one that is set takes effect."""


def current() -> Language:
    """Return the language selected by environment variables: Chinese or, by default, English."""
    named = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    chosen = (locale.getlocale()[0] or "") if named is None else named
    return "zh" if chosen.lower().startswith(("zh", "chinese")) else "en"


def tr(text: str, /, **values: object) -> str:
    """Return ``text`` in the current language, with ``{name}`` replaced by ``values``.

    Text that is missing from the catalogue is shown in English.

    Args:
        text: the English text; a template of :meth:`str.format` if there are values. In a command
            that users copy, ``{name:quoted}`` inserts the value as a single, quoted shell argument.
        values: the values for the names in the template.
    """
    shown = catalogue().get(text, text) if current() == "zh" else text
    return _FORMATTER.format(shown, **values) if values else shown


class _Formatter(string.Formatter):
    """A formatter that supports Python's format specs and ``quoted``."""

    def format_field(self, value: object, format_spec: str) -> str:
        if format_spec == "quoted":
            return shlex.quote(str(value))
        return str(super().format_field(value, format_spec))


_FORMATTER = _Formatter()


@cache
def catalogue() -> dict[str, str]:
    """Return the Chinese texts, keyed by their English texts."""
    pairs: dict[str, str] = json.loads(files(__name__).joinpath("zh.json").read_text("utf-8"))
    return pairs
