"""Conversion of a tokenizer to GGUF."""

import json
from pathlib import Path
from typing import Any

BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"
"""llama.cpp's names for the two kinds of tokenizers that can be converted."""

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    CONTRACTIONS + r"\p{N}{1,3}" + REST: "llama-bpe",
    CONTRACTIONS + r"\p{N}" + REST: "qwen2",
}
"""llama.cpp's names for the patterns with which byte-level tokenizers split a text into words."""

NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6
"""Token types of GGUF."""

UNREACHABLE = -1e9
"""Score of tokens that no merge produces."""


class UnknownTokenizer(ValueError):
    """The tokenizer's kind can't be converted; the text names the kind."""


def write_vocabulary(writer: Any, weights: Path, tokenizer: Any, size: int) -> None:
    """Add a tokenizer and its chat template to a GGUF file.

    Args:
        writer: The ``GGUFWriter``.
        weights: The directory with ``tokenizer.json``.
        tokenizer: The same tokenizer, loaded by transformers.
        size: The number of rows of the embedding. There may be more rows than tokens.

    Raises:
        UnknownTokenizer: The tokenizer can't be converted.
    """
    try:
        described = json.loads((weights / "tokenizer.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnknownTokenizer("the model has no readable tokenizer.json") from error
    model = described["model"]
    if model.get("type") != "BPE":
        raise UnknownTokenizer(f"its tokenizer is of the type {model.get('type')} instead of BPE")
    merges = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"]]
    kind, split = kind_of(described)
    tokens, types = _tokens(described, size)
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    if kind == SENTENCEPIECE:
        # llama.cpp joins the pair whose token has the highest score, which is the first merge.
        ranks: dict[str, float] = {}
        for rank, (left, right) in enumerate(merges):
            ranks.setdefault(left + right, -float(rank))
        writer.add_token_scores([ranks.get(token, UNREACHABLE) for token in tokens])
        writer.add_add_space_prefix(_begins_with_space(described))
    else:
        writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_token_types(types)
    for name in ("bos", "eos", "unk", "pad"):
        token = getattr(tokenizer, f"{name}_token_id")
        if token is not None and (name != "unk" or kind == SENTENCEPIECE):
            getattr(writer, f"add_{name}_token_id")(token)
    # Chat templates contain the start token. llama.cpp must not add a second one.
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.get_chat_template())


def kind_of(described: dict[str, Any]) -> tuple[str, str]:
    """Return llama.cpp's names for a tokenizer's kind and for its word-splitting pattern.

    Args:
        described: The contents of ``tokenizer.json``.

    Raises:
        UnknownTokenizer: llama.cpp has no such tokenizer, or it is not known here.
    """
    steps = _steps(described.get("pre_tokenizer"), "pretokenizers")
    if any(step["type"] == "ByteLevel" for step in steps):
        return BYTE_LEVEL, _split_of(steps)
    if described["model"].get("byte_fallback"):
        return SENTENCEPIECE, "default"
    raise UnknownTokenizer("its tokenizer can't write arbitrary bytes")


def _split_of(steps: list[dict[str, Any]]) -> str:
    match steps:
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return "gpt-2"
        case [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        ]:
            return "smollm"
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ] if pattern in SPLITS:
            return SPLITS[pattern]
    raise UnknownTokenizer("its tokenizer splits texts into words in an unknown way")


def _steps(described: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    """Return the steps of a tokenizer component, which may be a single step or a sequence."""
    if described is None:
        return []
    if described["type"] == "Sequence":
        return [step for one in described[inner] for step in _steps(one, inner)]
    return [described]


def _begins_with_space(described: dict[str, Any]) -> bool:
    """Return True if the tokenizer puts a space in front of the text."""
    steps = _steps(described.get("pre_tokenizer"), "pretokenizers")
    metaspaces = [step for step in steps if step["type"] == "Metaspace"]
    normal = _steps(described.get("normalizer"), "normalizers")
    return any(step["type"] == "Prepend" for step in normal) or any(
        step.get("prepend_scheme", "always") != "never" for step in metaspaces
    )


def _tokens(described: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Return the text and the type of each row of the embedding."""
    tokens = [f"[UNUSED{place}]" for place in range(size)]
    types = [UNUSED] * size
    byte_tokens = {f"<0x{value:02X}>" for value in range(256)}
    for text, place in described["model"]["vocab"].items():
        if place < size:
            tokens[place] = text
            types[place] = BYTE if text in byte_tokens else NORMAL
    for added in described.get("added_tokens", []):
        if added["id"] < size:
            tokens[added["id"]] = added["content"]
            types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    return tokens, types
