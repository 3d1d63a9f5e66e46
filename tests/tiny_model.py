"""A tiny language model and a tiny encoder for tests, made in a second without a download.

The language model has two Llama layers with random weights, a byte-level BPE tokenizer of a few
hundred tokens, and a ChatML template. As in SmolLM2, ``pad == eos``: code that masks padding by
token instead of by position fails.
"""

from pathlib import Path

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

CORPUS = [
    "The quick brown fox jumps over the lazy dog. Hello, how are you today? I am well, thank you.",
    "What is the capital of France? The capital of France is Paris. Who are you? I am a model.",
    "system user assistant You are a helpful assistant. 你好，你是谁？我是一个模型。",
]

WORDS = (
    *("am", "are", "blue", "boring", "capital", "cat", "dog", "film", "fox", "france", "good"),
    *("green", "hello", "how", "i", "is", "like", "lion", "much", "one", "paris", "quick", "red"),
    *("six", "the", "three", "two", "very", "what", "which", "you"),
)
"""Words that the tiny encoder has as one token; it spells all others."""


def make_tiny_model(
    directory: Path, *, seed: int = 0, chat_template: str | None = "chatml"
) -> Path:
    """Write a base model in the platform's layout (``weights/`` and a card); return ``directory``.

    Args:
        directory: directory of the model; created if it does not exist.
        seed: seed of the random weights.
        chat_template: "chatml", the text of another template, or None for a model without one.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    weights = directory / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    if chat_template is not None:
        fast.chat_template = CHAT_TEMPLATE if chat_template == "chatml" else chat_template
    fast.save_pretrained(weights)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(fast),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                tie_word_embeddings=True,
                bos_token_id=fast.bos_token_id,
                eos_token_id=fast.eos_token_id,
                pad_token_id=fast.pad_token_id,
                # Weights as large as in a trained model, so that greedy decoding has no ties.
                initializer_range=0.2,
            )
        )
        # The embedding of the padding token starts as zeros, and here it is also the end token.
        # With zeros, unlike in any trained model, no adapter could learn to end an answer.
        model.get_input_embeddings().weight.data[fast.pad_token_id].normal_(std=0.2)
    model.save_pretrained(weights)
    (directory / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# tiny\n")
    return directory


def make_tiny_encoder(directory: Path, *, seed: int = 0) -> Path:
    """Write an encoder in the platform's layout; return ``directory``.

    It has two BERT layers with random weights, and a WordPiece tokenizer that ignores case.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    weights = directory / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,?"
    # The vocabulary is fixed, because training one with tokenizers would order it at random.
    entries = [*specials, *letters, *(f"##{letter}" for letter in letters), *WORDS]
    vocabulary = {entry: place for place, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
    fast.save_pretrained(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(
            BertConfig(
                vocab_size=len(fast),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=64,
                pad_token_id=fast.pad_token_id,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        )
    model.save_pretrained(weights)
    (directory / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# tiny encoder\n")
    return directory
