"""Tokenized corpora as Megatron's tools/preprocess_data.py writes them, and the tokenizers that make them."""

import numpy as np

from megatron_proxy.data.dataset.reader import DTYPES, HEADER, MAGIC


def write_tokens(prefix, documents, dtype="uint16"):
    """``documents``: for each the list of its sequences, which are lists of ids. Returns the prefix."""
    dtype = np.dtype(dtype)
    code = next(code for code, known in DTYPES.items() if known == dtype)
    sequences = [sequence for document in documents for sequence in document]
    lengths = np.array([len(sequence) for sequence in sequences], dtype="<i4")
    pointers = np.cumsum(lengths, dtype=np.int64) * dtype.itemsize - lengths.astype(np.int64) * dtype.itemsize
    borders = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    with open(f"{prefix}.bin", "wb") as file:
        for sequence in sequences:
            file.write(np.array(sequence, dtype=dtype).tobytes())
    with open(f"{prefix}.idx", "wb") as file:
        file.write(HEADER.pack(MAGIC, 1, code, len(sequences), len(borders)))
        file.write(lengths.tobytes() + pointers.astype("<i8").tobytes() + borders.astype("<i8").tobytes())
    return str(prefix)


def byte_level(path, texts, size=500, special=("<|end|>", "<|begin|>"), **settings):
    """A byte-level BPE of GPT-2's kind as a tokenizer.json, trained on texts; the ids of ``special`` come first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=list(special), show_progress=False, **settings
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
    return tokenizer


def sentencepiece_model(path, texts, **settings):
    """A SentencePiece model with byte pieces, as they are by default: a space is put before each text."""
    import io

    import sentencepiece

    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=writer, vocab_size=500, hard_vocab_limit=False, minloglevel=3,
        **{"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", **settings},
    )  # fmt: skip
    path.write_bytes(writer.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=writer.getvalue())
