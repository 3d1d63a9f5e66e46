"""The answer that a reward scores."""

from typing import NamedTuple


class Answer(NamedTuple):
    """An answer of the model.

    Attributes:
        text: The text, without special tokens.
        tokens: The number of tokens in the answer, including the end token.
    """

    text: str
    tokens: int
