"""A model's answers to questions from a dataset, using greedy decoding."""

from typing import Any

import torch

from aiplatform.runtime.chat import Messages, TemplateRefusal, render


def sample_evenly(conversations: list[Messages], count: int) -> list[Messages]:
    """Return ``count`` conversations with different questions, spread evenly over the dataset."""
    distinct: dict[str, Messages] = {}
    for messages in conversations:
        distinct.setdefault(question_of(messages), messages)
    chosen = list(distinct.values())
    if len(chosen) <= count:
        return chosen
    return [chosen[index * len(chosen) // count] for index in range(count)]


def up_to_last_answer(messages: Messages | None) -> Messages | None:
    """Return the conversation up to and including its last answer.

    The result is None if there is no answer, or nothing before it.
    """
    if messages is None:
        return None
    ends = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    if not ends or ends[-1] == 0:
        return None
    return messages[: ends[-1] + 1]


def question_of(messages: Messages) -> str:
    """Return the text of the last user message, or an empty string if there is none."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    return str(asked[-1]) if asked else ""


def answer(
    model: Any, tokenizer: Any, conversations: list[Messages], *, max_new_tokens: int
) -> list[str]:
    """Return the model's answers, each to a conversation without its last message.

    Prompts are left-padded, so that all answers start at the same position; a mask hides the
    padding.
    """
    prompts = [_prompt(tokenizer, messages) for messages in conversations]
    length = max(len(prompt) for prompt in prompts)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (length - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts])
    device = next(model.parameters()).device
    with torch.inference_mode():
        made = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            # Unset: greedy decoding ignores the model's sampling defaults, but warns about them.
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=pad,
        )
    return [
        tokenizer.decode(row[length:], skip_special_tokens=True).strip() for row in made.tolist()
    ]


def _prompt(tokenizer: Any, messages: Messages) -> list[int]:
    text = render(tokenizer, messages[:-1], answer_next=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def answerable(tokenizer: Any, messages: Messages, max_length: int) -> bool:
    """Return True if the template accepts the prompt, and its length is below ``max_length``."""
    try:
        return len(_prompt(tokenizer, messages)) < max_length
    except TemplateRefusal:
        return False
