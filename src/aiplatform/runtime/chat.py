"""Rendering of conversations with a model's chat template, or a plain template if it has none."""

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
"""Template for base models without a chat format; training saves it in the tuned tokenizer."""


class TemplateRefusal(ValueError):
    """The model's chat template rejects the conversation; the text is the template's reason."""


def load_tokenizer(weights: Any, *, chat: bool = True) -> Any:
    """Return a model's tokenizer, adding a padding token and, with ``chat``, a chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(weights), trust_remote_code=False)
    if chat and tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token_id is None:
        # Any token will do, because padding is always masked by position.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def render(tokenizer: Any, messages: Messages, *, answer_next: bool) -> str:
    """Return the text of a conversation; with ``answer_next``, it ends where an answer begins.

    Raises:
        TemplateRefusal: The template does not accept the messages.
    """
    from jinja2.exceptions import TemplateError

    try:
        return _apply(tokenizer, messages, answer_next)
    except TemplateError as error:
        if messages[0]["role"] != "system" or len(messages) < 2:
            raise TemplateRefusal(str(error)) from error
    # Some templates, such as Gemma's, have no system role. The system message is then put in front
    # of the first user message.
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
