"""An answer of the model, as rewards receive it."""

from typing import NamedTuple


class Answer(NamedTuple):
    """An answer of the model.

    Attributes:
        text: The text, without special tokens.
        tokens: The number of its tokens, with the one that ends it.
    """

    text: str
    tokens: int
