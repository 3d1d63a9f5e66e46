"""Conversations as a model sees them: its chat template, and a plain one where it has none."""

from typing import Any

Messages = list[dict[str, Any]]

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] | trim }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""For base models that were never taught a format. Training writes it into the tuned tokenizer."""


class TemplateRefusal(ValueError):
    """The model's chat template does not accept the messages; the text is its own reason."""


def load_tokenizer(weights: Any) -> Any:
    """A model's tokenizer, with a chat template and a padding token in any case."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(weights), trust_remote_code=False)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token_id is None:
        # Padding is masked by position everywhere, so which token it is does not matter.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def render(tokenizer: Any, messages: Messages, *, answer_next: bool) -> str:
    """The text of a conversation, ending where the assistant is to speak if ``answer_next``.

    Raises:
        TemplateRefusal: when the template does not accept the messages.
    """
    from jinja2.exceptions import TemplateError

    try:
        return _apply(tokenizer, messages, answer_next)
    except TemplateError as error:
        if messages[0]["role"] != "system" or len(messages) < 2:
            raise TemplateRefusal(str(error)) from error
    # Some templates (Gemma's) know no system role; the instruction then opens the first turn.
    system, first, *rest = messages
    opened = {**first, "content": f"{system['content']}\n\n{first['content']}"}
    try:
        return _apply(tokenizer, [opened, *rest], answer_next)
    except TemplateError as error:
        raise TemplateRefusal(str(error)) from error


def _apply(tokenizer: Any, messages: Messages, answer_next: bool) -> str:
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=answer_next
    )
    return str(text)
