"""The language of the texts that the command line, the SDK and `aiplatform up` show to people.

Texts stand in the code in English. ``zh.json`` beside this file maps each of them to Chinese; a
test fails when one is missing. The standard library's gettext needs catalogues that are compiled at
installation, so a plain file of pairs serves here. The server's own answers carry both languages
and are chosen by the request's ``Accept-Language``.
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
"""Environment variables that name the language. The first that is set decides."""


def current() -> Language:
    """Return the language that the environment asks for: Chinese or, by default, English."""
    named = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    chosen = (locale.getlocale()[0] or "") if named is None else named
    return "zh" if chosen.lower().startswith(("zh", "chinese")) else "en"


def tr(text: str, /, **values: object) -> str:
    """Return ``text`` in the current language, with ``{name}`` replaced by ``values``.

    A text that the catalogue lacks is shown in English.

    Args:
        text: the English text, a template of :meth:`str.format` when there are values. In a command
            to copy, ``{name:quoted}`` stands for one argument of a shell, whatever it contains.
        values: what the template's names stand for.
    """
    shown = catalogue().get(text, text) if current() == "zh" else text
    return _FORMATTER.format(shown, **values) if values else shown


class _Formatter(string.Formatter):
    """The formats of Python, and ``quoted``."""

    def format_field(self, value: object, format_spec: str) -> str:
        if format_spec == "quoted":
            return shlex.quote(str(value))
        return str(super().format_field(value, format_spec))


_FORMATTER = _Formatter()


@cache
def catalogue() -> dict[str, str]:
    """Return the Chinese text of each English one."""
    pairs: dict[str, str] = json.loads(files(__name__).joinpath("zh.json").read_text("utf-8"))
    return pairs
