"""Small prepared datasets, written without `prepare`: tests of training depend on the file formats only."""

import hashlib
import random
from pathlib import Path

import numpy as np

from megatron_proxy import compressors
from megatron_proxy.data.dataset import reader
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.manifest import CompressedView, Manifest, StoredFile, SymbolBytes, View

WORDS = ["def", "return", "import", "self", "value", "list", "range", "print", "total", "index", "name", "while"]


def documents(count: int, words: int = 20, seed: int = 1) -> list[bytes]:
    """Texts of up to ``words`` words, one of them empty, one of bytes that are no UTF-8."""
    choose = random.Random(seed)
    texts = [" ".join(choose.choices(WORDS, k=choose.randint(1, words))).encode() + b"\n" for _ in range(count)]
    texts[1 % count] = b""
    texts[2 % count] = bytes(range(128, 160))
    return texts


def prepare(
    prefix: Path, texts: list[bytes], name: str = "trie", trained_on: list[bytes] | None = None, *, old: bool = False
) -> Manifest:
    """Write both views of ``texts`` and the manifest; the compressor may be trained on other texts.

    ``old`` leaves out what the first releases did not keep.
    """
    kind = compressors.get(name)
    small = {"symbols": 100, "dictionary-bytes": 256}
    options = {option.name: small.get(option.name, option.default) for option in kind.options}
    made = kind.build(options, lambda: iter(texts if trained_on is None else trained_on))
    return prepare_with(prefix, texts, made, old=old)


def prepare_with(
    prefix: Path, texts: list[bytes], compressor: compressors.Compressor, *, old: bool = False
) -> Manifest:
    """Write both views of ``texts`` and the manifest."""
    name = compressor.name
    encoded = [compressor.encode_spans(text) for text in texts]
    raw = _write(Layout(prefix).raw, [np.frombuffer(text, np.uint8) for text in texts], np.uint8)
    codes = _write(Layout(prefix).codes(name), [one.codes for one in encoded], compressor.vocabulary.code_dtype)
    spans = None
    if compressor.spans:
        pairs = [np.stack([np.diff(one.byte_ends, prepend=0), np.diff(one.code_ends, prepend=0)], 1) for one in encoded]
        spans = _write(Layout(prefix).spans(name), [pair.ravel() for pair in pairs], np.uint16)
    files = {
        suffix: _stored(Path(f"{prefix}_{name}_{suffix}"), content) for suffix, content in compressor.files().items()
    }
    table = compressor.symbol_bytes()
    if table is not None:
        table = _stored(Path(f"{prefix}_{name}_symbol-bytes.int32"), table.astype("<i4").tobytes())
    compressed = CompressedView(
        config=compressor.config(),
        fingerprint=compressor.fingerprint,
        num_symbols=compressor.num_symbols,
        literals=compressor.literals,
        lossless=compressor.lossless,
        view=codes,
        spans=spans,
        files=files,
        symbol_bytes=None if old else SymbolBytes(table),
    )
    made = Manifest(len(texts), raw).with_compressed(name, compressed)
    Layout(prefix).manifest.write_text(made.to_json())
    return made


def _write(path: str, sequences: list[np.ndarray], dtype: type) -> View:
    kind = np.dtype(dtype)
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int32)
    pointers = (np.cumsum(lengths, dtype=np.int64) - lengths) * kind.itemsize
    code = next(code for code, known in reader.DTYPES.items() if known == kind)
    header = reader.HEADER.pack(reader.MAGIC, 1, code, len(sequences), len(sequences) + 1)
    index = [header, lengths.tobytes(), pointers.tobytes(), np.arange(len(sequences) + 1, dtype=np.int64).tobytes()]
    units = [sequence.astype(kind).tobytes() for sequence in sequences]
    stored = [_stored(Path(f"{path}.{ending}"), b"".join(parts)) for ending, parts in (("bin", units), ("idx", index))]
    below_256 = sum(int((np.asarray(sequence) < 256).sum()) for sequence in sequences)
    return View(*stored, kind.name, int(lengths.sum()), below_256)


def _stored(path: Path, content: bytes) -> StoredFile:
    path.write_bytes(content)
    return StoredFile(path.name, len(content), hashlib.sha256(content).hexdigest())
