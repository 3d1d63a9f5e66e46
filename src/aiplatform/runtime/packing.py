"""Packing of texts, which are joined and then cut into blocks of equal length."""

from typing import Any

import numpy as np

from aiplatform.runtime.rows import Encoded, EncodedRows


def pack(
    rows: EncodedRows, tokenizer: Any, *, length: int, seed: int | None = None
) -> list[Encoded]:
    """Return the tokens of all rows in blocks of ``length`` tokens; the last may be shorter.

    A last block of a single token is left out, because nothing can be learned from it.
    All tokens are learned except the first one of each block. A block may contain several texts. As
    in pre-training, the tokens of a text attend to the texts before it in the block.

    Args:
        rows: the rows, each with its end token.
        tokenizer: the tokenizer of the rows. If it adds a start token, each text begins with it.
        length: the number of tokens in a block.
        seed: the seed for shuffling the rows; None keeps their order.
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
    """Return an array with the start token; it is empty if the tokenizer adds none."""
    start = tokenizer.bos_token_id
    ids = tokenizer("a")["input_ids"]
    begins = start is not None and ids[:1] == [start]
    return np.asarray([start] if begins else [], dtype=np.int32)


def mix(blocks: list[Encoded], replay: list[Encoded], share: float) -> list[Encoded]:
    """Return the blocks, followed by as many ``replay`` blocks as make up ``share`` of the total.

    If there are too few ``replay`` blocks, each is still used only once, because the model would
    memorize repeated blocks.
    """
    wanted = max(1, round(len(blocks) * share / (1 - share)))
    return [*blocks, *replay[:wanted]]
