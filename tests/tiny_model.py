"""A tiny language model for tests, created reproducibly in a second without a download.

It has two Llama layers with random weights, a byte-level BPE tokenizer of a few hundred tokens, and
a ChatML template. As in SmolLM2, ``pad == eos``: code that masks padding by token instead of by
position fails.
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
                # As wide as in a trained model, so that greedy decoding has no ties.
                initializer_range=0.2,
            )
        )
        # The embedding of the padding token starts as zeros, and here it is also the end token.
        # With zeros, unlike in any trained model, no adapter could learn to end an answer.
        model.get_input_embeddings().weight.data[fast.pad_token_id].normal_(std=0.2)
    model.save_pretrained(weights)
    (directory / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# tiny\n")
    return directory
