"""Packing of texts: they are joined and cut into blocks of equal length."""

from typing import Any

import numpy as np

from aiplatform.runtime.rows import Encoded, EncodedRows


def pack(
    rows: EncodedRows, tokenizer: Any, *, length: int, seed: int | None = None
) -> list[Encoded]:
    """Return the tokens of all rows in blocks of ``length`` tokens; the last may be shorter.

    A last block of a single token is left out, because nothing can be learned from it.
    All tokens are learned except the first one of each block. A block may contain several texts,
    and its tokens also see the text before theirs, as in pre-training.

    Args:
        rows: the rows, each with its end token.
        tokenizer: their tokenizer. If it begins texts with a token, so does each row.
        length: the number of tokens in a block.
        seed: a seed by which the rows are shuffled; None keeps their order.
    """
    order = list(rows.rows)
    if seed is not None:
        order = [order[index] for index in np.random.default_rng(seed).permutation(len(order))]
    start = start_tokens(tokenizer)
    pieces = []
    for row in order:
        # A chat template may have written the start token already.
        if not np.array_equal(row.input_ids[: len(start)], start):
            pieces.append(start)
        pieces.append(row.input_ids)
    tokens = np.concatenate(pieces)
    blocks = (tokens[at : at + length] for at in range(0, len(tokens), length))
    return [Encoded(block, block) for block in blocks if len(block) > 1]


def start_tokens(tokenizer: Any) -> Any:
    """Return the start token as an array of one, or an empty one if the tokenizer adds none."""
    start = tokenizer.bos_token_id
    ids = tokenizer("a")["input_ids"]
    begins = start is not None and ids[:1] == [start]
    return np.asarray([start] if begins else [], dtype=np.int32)


def mix(blocks: list[Encoded], replay: list[Encoded], share: float) -> list[Encoded]:
    """Return the blocks with so many of ``replay`` after them that these are ``share`` of all.

    If there are too few, all of them are taken once: repeated blocks would be learned by heart.
    """
    wanted = max(1, round(len(blocks) * share / (1 - share)))
    return [*blocks, *replay[:wanted]]
