"""Files of generated conversations, and a tokenizer for them."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa

from aiplatform.data import canonical
from common.conversation_generator import ConversationGenerator, Row


def tokenizer(directory: Path, w: ConversationGenerator) -> Path:
    """Create a model directory with a byte-level tokenizer trained on the corpus."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    directory.mkdir()
    result = Tokenizer(models.BPE())
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    result.train_from_iterator([text for each in w.sentences.values() for text in each], trainer)
    result.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    return directory


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write conversations as canonical Parquet, a few thousand at a time."""
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    schema = pa.schema(
        [("messages", kind)], metadata={"aiplatform.shape": "chat", "aiplatform.json": "[]"}
    )
    with canonical.CanonicalWriter(path, schema) as writer:
        more = iter(rows)
        while some := list(islice(more, 5000)):
            column = pa.array(some, kind)
            writer.write(pa.record_batch([column], schema=schema))
