"""Sample conversations that show whether llama.cpp reads a converted model as transformers does.

llama.cpp has its own tokenizers and its own interpreter of chat templates. A small difference from
transformers makes answers worse without any error. The samples are stored next to the converted
model with the results from transformers, and are compared with llama.cpp's results whenever a
server starts.
"""

from typing import Any

from pydantic import BaseModel, Field

CONVERSATIONS: list[list[tuple[str, str]]] = [
    [("user", "Hello, how are you?")],
    [
        ("system", "You answer in one sentence."),
        ("user", "What's 3 + 4.75, in 2024?\n\n  Don't say \"it's\" — say why!"),
    ],
    [
        ("user", "你好，你是谁？ 🙂 naïve café"),
        ("assistant", "C'est moi : un modèle.\n\tprint(x[1:])\n"),
        ("user", "THANK YOU...   12345 times\r\n"),
    ],
]


class Sample(BaseModel):
    """A conversation, the prompt that transformers renders, and its token ids.

    ``prompt`` is compared only if it doesn't depend on the current date.
    """

    messages: list[dict[str, Any]]
    prompt: str
    tokens: list[int]


class Samples(BaseModel):
    """The samples of a model.

    ``dated`` is True if the chat template uses the current date. ``folds_system`` is True if the
    template refuses system messages, which are then put in front of the first user message.
    """

    dated: bool = False
    folds_system: bool = False
    samples: list[Sample] = Field(default_factory=list)


def make_samples(tokenizer: Any) -> Samples:
    """Return the sample conversations as transformers renders them."""
    from jinja2.exceptions import TemplateError

    from aiplatform.runtime.chat import TemplateRefusal, render

    template = tokenizer.get_chat_template()
    found = Samples(dated="strftime_now" in template)
    for turns in CONVERSATIONS:
        messages: list[dict[str, Any]] = [
            {"role": role, "content": content} for role, content in turns
        ]
        try:
            if messages[0]["role"] == "system":
                try:
                    tokenizer.apply_chat_template(messages, tokenize=False)
                except TemplateError:
                    found.folds_system = True
            prompt = render(tokenizer, messages, answer_next=True)
        except TemplateRefusal:
            continue
        if found.folds_system:
            messages = fold_system(messages)
        tokens = list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        found.samples.append(Sample(messages=messages, prompt=prompt, tokens=tokens))
    return found


def fold_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a conversation with its system message in front of the first user message.

    See :func:`aiplatform.runtime.chat.render`, which does the same.
    """
    if len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]
