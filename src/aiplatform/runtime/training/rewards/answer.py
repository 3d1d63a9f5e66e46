"""An answer of the model, as rewards receive it."""

from typing import NamedTuple


class Answer(NamedTuple):
    """An answer of the model.

    Attributes:
        text: The text, without special tokens.
        tokens: The number of its tokens, including the end token.
    """

    text: str
    tokens: int
