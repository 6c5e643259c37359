"""Tiny models over tokens, made by transformers itself with random weights, and tokenizers made by ``tokenizers``."""

import json
from pathlib import Path

import tiny_data
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from megatron_proxy.compressors.tokenizers.hf import HfCompressor

TEXT = "def area(width, height):\n    return width * height\n\nclass Area:\n    width = 3\n" * 3
TEXTS = [TEXT.encode(), b"return width\n", "height = 'é🙂'\n".encode()]

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "initializer_range": 0.2,
}


def stretched(factor: float) -> dict:
    """Positions of Llama 3, in the two settings of release 4 of transformers or the one of release 5."""
    kind = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    if int(transformers.__version__.partition(".")[0]) >= 5:
        return {"rope_parameters": {"rope_theta": 500000.0, **kind}}
    return {"rope_theta": 500000.0, "rope_scaling": kind}


_MODELS = {
    "Llama 2": ("LlamaConfig", {"num_key_value_heads": 4}),
    "Llama 3": ("LlamaConfig", {**stretched(8.0), "rms_norm_eps": 1e-5}),
    "Llama 3.2": ("LlamaConfig", {**stretched(32.0), "tie_word_embeddings": True, "rms_norm_eps": 1e-5}),
    "Llama, tied": ("LlamaConfig", {"tie_word_embeddings": True, "head_dim": 16}),
    "SmolLM": ("LlamaConfig", {"tie_word_embeddings": True, "eos_token_id": 0}),
    "Mistral": ("MistralConfig", {"sliding_window": 8}),
    "Mistral without windows": ("MistralConfig", {"sliding_window": None}),
    "Qwen 2": ("Qwen2Config", {"bos_token_id": None}),
    "Qwen 2, tied": ("Qwen2Config", {"tie_word_embeddings": True}),
    "Qwen 2 with windows": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0},
    ),
    "Qwen 3": ("Qwen3Config", {"head_dim": 16}),
    "Qwen 3, tied": ("Qwen3Config", {"head_dim": 8, "tie_word_embeddings": True}),
}
# Qwen 3 came with release 4.51 of transformers.
MODELS = {
    kind: (getattr(transformers, name), own) for kind, (name, own) in _MODELS.items() if hasattr(transformers, name)
}


def byte_level(**parts) -> tokenizers.Tokenizer:
    """All bytes, some longer tokens, and two special ones first."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    for name, part in parts.items():
        setattr(made, name, part)
    special = ["<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=280, show_progress=False, initial_alphabet=alphabet, special_tokens=special
    )
    made.train_from_iterator([TEXT], trainer)
    return made


def byte_fallback() -> tokenizers.Tokenizer:
    """Llama 2's kind: pieces ``<0xNN>`` for what has no token."""
    made = tokenizers.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<s>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    text = TEXT.replace("\n", "")
    made.train_from_iterator([text], trainers.BpeTrainer(vocab_size=300, show_progress=False, special_tokens=special))
    content = made.to_str()
    # The trainer makes special tokens of all that it is given; the pieces are ordinary ones.
    told = json.loads(content)
    told["added_tokens"] = told["added_tokens"][:3]
    return tokenizers.Tokenizer.from_str(json.dumps(told))


def write(folder: Path, kind: str = "Llama 3", tokenizer: tokenizers.Tokenizer | None = None, **changes) -> Path:
    """A folder as ``save_pretrained`` writes it; norms and biases are random too."""
    tokenizer = tokenizer or byte_level()
    config_class, own = MODELS[kind]
    settings = {**SMALL, "vocab_size": tokenizer.get_vocab_size(), **own, **changes}
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config_class(**settings)).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.3)
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(
        folder
    )
    return folder


def compressor(folder: Path, **options: str) -> HfCompressor:
    """A folder's tokenizer as a compressor."""
    given = {"model": str(folder / "tokenizer.json"), "split": "lines", **options}
    return HfCompressor.build(HfCompressor.all_options(given), lambda: iter(TEXTS))


def prepare(prefix: Path, folder: Path, texts: list[bytes] = TEXTS) -> HfCompressor:
    """A prepared dataset by a folder's tokenizer."""
    made = compressor(folder)
    tiny_data.prepare_with(prefix, texts, made)
    return made
