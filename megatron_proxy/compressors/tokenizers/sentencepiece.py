"""SentencePiece: an existing .model, or a BPE model trained on the corpus.

Symbols are pieces; literals are what no piece represents: byte pieces (``<0x0A>``), characters that the model does not
know or normalises away, bytes that are not UTF-8, and U+2581, which SentencePiece takes for a space.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self, override

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Corpus, Option
from ..sample import sample
from ..segments.options import cut
from ..segments.segmenter import Kind, Segmenter
from .sentencepiece_model import read_settings
from .tokens import SYMBOLS, SYMBOLS_OPTION, TokenCompressor, literals
from .word_cache import WordEncoder, borders_between

MODEL_FILE: Final = "model.model"
_SPACE: Final = "\u2581"

# The trainer leaves out longer lines; these are cut, at words, instead.
_TRAINING_LINES: Final = Segmenter(Kind.LINES, 4_096)


class SentencePieceCompressor(TokenCompressor):
    """SentencePiece with one model.

    Parameters
    ----------
    model
        Content of a .model file.
    symbols
        How a piece is written: ``ids``, ``bytes`` or ``gray``.
    """

    name = "sentencepiece"
    options: ClassVar[tuple[Option, ...]] = (
        Option("model", str, "", "an existing .model file; without it one is trained on the corpus"),
        Option("vocab-size", int, 16_384, "number of pieces of a trained model"),
        Option("sample-bytes", int, 16 << 20, "how much of the corpus a model is trained on"),
        SYMBOLS_OPTION,
    )

    def __init__(self, model: bytes, symbols: str = "ids") -> None:
        self.model = model
        self._settings = read_settings(model)
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            pieces = _pieces(self._processor, escapes_spaces=self._settings.escapes_spaces)
        except (RuntimeError, ValueError, TypeError) as error:
            raise CompressorError(f"SentencePiece cannot load this model: {error}") from error
        super().__init__(pieces, symbols, odd="\0" + _SPACE)
        self._code_of_id = _codes(self._processor)
        independent_lines = not any(b"\n" in piece[:-1] for piece in pieces)
        self.spans = self._settings.identity and independent_lines
        self.no_spans_because = "this SentencePiece model normalises text, or has pieces that go on behind a line's end"
        borders = borders_between(pieces) if self._settings.bpe and self.spans else None
        self._words = None if borders is None else WordEncoder(self._encode_whole, borders)

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        symbols = checks.choice(options, cls.name, "symbols", SYMBOLS)
        if options["model"]:
            model = checks.read(Path(options["model"]), f"--{cls.name}-model")
            with checks.named(options["model"], f"--{cls.name}-model"):
                return cls(model, symbols)
        size = checks.option(options, cls.name, "vocab-size", 300, 1 << 20)
        budget = checks.option(options, cls.name, "sample-bytes", 1, 1 << 30)
        return cls(train(sample(corpus, budget), size), symbols)

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        return cls(checks.file(files, MODEL_FILE), checks.choice(config, cls.name, "symbols", SYMBOLS))

    @override
    def config(self) -> dict[str, Any]:
        return {"symbols": self.symbols}

    @override
    def files(self) -> dict[str, bytes]:
        return {MODEL_FILE: self.model}

    @override
    def _encode_texts(self, texts: list[str]) -> Sequence[NDArray[np.int32]]:
        if self._words is not None:
            return [self._words.encode(text.encode("utf-8")) for text in texts]
        codes, ends = self._encode_whole(texts)
        return np.split(codes, ends[:-1])

    def _encode_whole(self, texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """What SentencePiece makes of each text, as far as it is exact; the codes in a row and where each text ends."""
        found = self._processor.encode(texts, out_type=int, num_threads=1, enable_sampling=False)
        return self._in_a_row(texts, found, self._code_of_id, self._exactly)

    def _exactly(self, text: str, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """``codes`` if they stand for ``text``, else with literals where they do not."""
        expected = text.encode("utf-8")
        found = self._bytes_of(codes)
        if found == expected:
            return codes
        if self._settings.dummy_prefix and found == b" " + expected:
            # The space that SentencePiece puts before a text belongs to its first piece, and that one goes.
            return np.concatenate([literals(self._bytes_of(codes[:1])[1:]), codes[1:]])
        parts = [np.empty(0, dtype=np.int32)]
        for id_, surface in _surfaces(self._processor, text):
            code = self._code_of_id[id_ : id_ + 1]
            content = surface.encode("utf-8")
            parts.append(code if self._bytes_of(code) == content else literals(content))
        codes = np.concatenate(parts)
        return codes if self._bytes_of(codes) == expected else literals(expected)


def train(documents: list[bytes], vocab_size: int) -> bytes:
    """Content of a .model trained on ``documents``: BPE, text as it is, unknown characters as byte pieces.

    One thread, so the same documents give the same model. A corpus too small for ``vocab_size`` gives fewer pieces.

    Raises
    ------
    CompressorError
        If there is nothing to learn from.
    """
    writer = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(documents),
            model_writer=writer,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            model_type="bpe",
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            byte_fallback=True,
            bos_id=-1,
            eos_id=-1,
            max_sentence_length=4 * _TRAINING_LINES.max_bytes,
            num_threads=1,
            minloglevel=3,
        )
    except (RuntimeError, OSError) as error:
        raise CompressorError(
            f"SentencePiece cannot be trained on this corpus: {error}",
            fix="give a larger corpus, another --sentencepiece-vocab-size, or a --sentencepiece-model",
        ) from error
    return writer.getvalue()


def _lines(documents: list[bytes]) -> Iterator[str]:
    for segment in cut(_TRAINING_LINES, documents):
        for line in segment.decode("utf-8", "ignore").replace("\0", "").splitlines():
            if line:
                yield line


def _pieces(processor: sentencepiece.SentencePieceProcessor, *, escapes_spaces: bool) -> list[bytes]:
    """The bytes that each piece stands for; empty for control pieces, for unknown, and for byte pieces (literals)."""
    pieces = []
    for id_ in range(processor.get_piece_size()):
        piece: str = processor.id_to_piece(id_)
        plain = not (processor.is_control(id_) or processor.is_unknown(id_) or processor.is_byte(id_))
        text = piece.replace(_SPACE, " ") if escapes_spaces else piece
        pieces.append(text.encode("utf-8") if plain else b"")
    return pieces


def _codes(processor: sentencepiece.SentencePieceProcessor) -> NDArray[np.int32]:
    """The code of each id: byte pieces are literals."""
    codes = np.arange(processor.get_piece_size(), dtype=np.int32) + NUM_BYTES
    for id_ in np.flatnonzero([processor.is_byte(id_) for id_ in range(len(codes))]).tolist():
        codes[id_] = int(processor.id_to_piece(id_)[1:-1], 16)
    return codes


def _surfaces(processor: sentencepiece.SentencePieceProcessor, text: str) -> Iterator[tuple[int, str]]:
    """Each id with the part of the text that it was made from; the parts in a row are the text."""
    encode: Any = processor.encode
    try:
        found = encode(text, return_type="proto")
    except TypeError:  # releases before 0.2.2
        found = encode(text, out_type="immutable_proto")
    for piece in found.pieces:
        yield piece.id, piece.surface
