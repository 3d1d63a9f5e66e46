"""Render a model's chat template like ``transformers``, but without importing it.

Templates come from the internet, so they run in Jinja's sandbox, which limits ``range``.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from aiplatform.data.shapes import Messages

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] | trim }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""Template that training uses for base models without a template."""

NEWLINE = "\n"

TODAY = datetime(2026, 1, 1, tzinfo=UTC)
"""Fixed date for templates that print one, because a report must not depend on the current day."""


class TemplateRefusedError(ValueError):
    """The template does not compile, or rejects the messages; the error's text gives the reason."""


class _Generation(Extension):
    """A Jinja extension that ignores ``{% generation %}``, which marks the assistant's text."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A compiled chat template.

    Attributes:
        own: True if the template belongs to the model; False for :data:`PLAIN_TEMPLATE`.
        eos_token: The text that ends a turn; may be empty.
    """

    def __init__(self, source: str | None, special_tokens: dict[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = TODAY.strftime
        self.own = source is not None
        self.eos_token = special_tokens.get("eos_token", "")
        self._special_tokens = special_tokens
        try:
            self._template = environment.from_string(source or PLAIN_TEMPLATE)
        except TemplateError as error:
            raise TemplateRefusedError(str(error)) from error

    @classmethod
    def of_model(cls, weights: Path) -> "ChatTemplate":
        """Load the template in a model's directory.

        Raises:
            TemplateRefusedError: the template does not compile.
        """
        config = _read_json(weights / "tokenizer_config.json")
        older = _read_json(weights / "special_tokens_map.json")
        tokens = {**older, **config}
        special = {
            key: text
            for key, value in tokens.items()
            if key.endswith("_token") and (text := _content(value)) is not None
        }
        file = weights / "chat_template.jinja"
        source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
        if isinstance(source, list):  # Several templates, by name.
            source = {entry["name"]: entry["template"] for entry in source}
        if isinstance(source, dict):
            source = source.get("default")
        return cls(source, special)

    def render(self, messages: Messages) -> str:
        """Render a conversation as the text on which the model is trained.

        If the template does not accept a system message, it is put before the first turn's text, as
        in training.

        Raises:
            TemplateRefusedError: the template does not accept the messages.
        """
        try:
            return self._render(messages)
        except TemplateRefusedError:
            if messages[0]["role"] != "system" or len(messages) < 2:
                raise
        system, first, *rest = messages
        opened = {**first, "content": f"{system['content']}\n\n{first['content']}"}
        return self._render([opened, *rest])

    def _render(self, messages: Messages) -> str:
        if not self.own:
            return self._plainly(messages)
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=False,
                **self._special_tokens,
            )
        except (TemplateError, TypeError, KeyError, ValueError) as error:
            raise TemplateRefusedError(str(error)) from error

    def _plainly(self, messages: Messages) -> str:
        """Return what :data:`PLAIN_TEMPLATE` would render, in a tenth of the time."""
        ends = {"assistant": f"{self.eos_token}\n"}
        return "".join(
            f"{m['role'].capitalize()}: {m['content'].strip()}{ends.get(m['role'], NEWLINE)}"
            for m in messages
        )


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which models have not seen in training.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _content(token: Any) -> str | None:
    """Return the text of a special token, which is given as text or as an object."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}
