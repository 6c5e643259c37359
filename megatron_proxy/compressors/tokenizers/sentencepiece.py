"""SentencePiece: an existing .model, or a BPE model trained on the corpus.

Symbols are pieces; literals are what no piece represents: byte pieces (``<0x0A>``), characters that the model does not
know or normalises away, bytes that are not UTF-8, and U+2581, which SentencePiece takes for a space.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, override

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from ...errors import CompressorError
from ...vocab import NUM_BYTES
from ..base import Corpus
from ..options import Options, Setting
from ..sample import sample
from ..segments.segmenter import Segmenter, SegmentKind
from .sentencepiece_model import read_settings
from .token_strings import literals
from .tokens import SymbolForm, TokenCompressor
from .word_cache import borders_between

_SPACE: Final = "\u2581"

# The trainer leaves out longer lines; these are cut, at words, instead.
_TRAINING_LINES: Final = Segmenter(SegmentKind.LINES, 4_096)


@dataclass(frozen=True)
class SentencePieceOptions(Options):
    """See :class:`SentencePieceCompressor`."""

    model: Annotated[str, Setting("an existing .model file; without it one is trained on the corpus")] = ""
    vocab_size: Annotated[int, Setting("number of pieces of a trained model", 300, 1 << 20)] = 16_384
    sample_bytes: Annotated[int, Setting("how much of the corpus a model is trained on", 1, 1 << 30)] = 16 << 20
    symbols: SymbolForm = "ids"


class SentencePieceCompressor(TokenCompressor):
    """SentencePiece with one model, the content of a .model file."""

    name = "sentencepiece"
    options = SentencePieceOptions.flags()
    settings_class = SentencePieceOptions
    file_name = "model.model"

    def __init__(self, model: bytes, symbols: str = "ids") -> None:
        found = read_settings(model)
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            pieces, codes = _pieces(self._processor, escapes_spaces=found.escapes_spaces)
        except (RuntimeError, ValueError, TypeError) as error:
            raise CompressorError(f"SentencePiece cannot load this model: {error}") from error
        spans = found.identity and not any(b"\n" in piece[:-1] for piece in pieces)
        borders = borders_between(pieces) if found.bpe and spans else None
        settings = SentencePieceOptions(symbols=symbols)
        super().__init__(model, settings, pieces, codes, borders, odd="\0" + _SPACE)
        self.spans = spans
        self.no_spans_because = "this SentencePiece model normalises text, or has pieces that go on behind a line's end"
        self.space_before = found.dummy_prefix

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        settings = SentencePieceOptions.given(options, cls.name)
        if settings.model:
            return cls.from_file(settings.model, "model", settings)
        return cls(train(sample(corpus, settings.sample_bytes), settings.vocab_size), settings.symbols)

    @override
    def _ids_of(self, texts: list[str]) -> list[list[int]]:
        found: list[list[int]] = self._processor.encode(texts, out_type=int, num_threads=1, enable_sampling=False)
        return found

    @override
    def _where_exact(self, text: str) -> Iterator[NDArray[np.int32]]:
        for id_, surface in _surfaces(self._processor, text):
            code = self.code_of_id[id_ : id_ + 1]
            content = surface.encode("utf-8")
            yield code if self.strings.bytes_of(code) == content else literals(content)


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
    for segment in _TRAINING_LINES.cut(documents):
        for line in segment.decode("utf-8", "ignore").replace("\0", "").splitlines():
            if line:
                yield line


def _pieces(
    processor: sentencepiece.SentencePieceProcessor, *, escapes_spaces: bool
) -> tuple[list[bytes], NDArray[np.int32]]:
    """The bytes that each piece stands for, and the code of each id: byte pieces are literals.

    Control pieces and what is unknown stand for nothing, nor do byte pieces here.
    """
    pieces = [b""] * processor.get_piece_size()
    codes = np.arange(len(pieces), dtype=np.int32) + NUM_BYTES
    for id_ in range(len(pieces)):
        piece: str = processor.id_to_piece(id_)
        if processor.is_byte(id_):
            codes[id_] = int(piece[1:-1], 16)
        elif not (processor.is_control(id_) or processor.is_unknown(id_)):
            pieces[id_] = (piece.replace(_SPACE, " ") if escapes_spaces else piece).encode("utf-8")
    return pieces, codes


def _surfaces(processor: sentencepiece.SentencePieceProcessor, text: str) -> Iterator[tuple[int, str]]:
    """Each id with the part of the text that it was made from; the parts in a row are the text."""
    encode: Any = processor.encode
    try:
        found = encode(text, return_type="proto")
    except TypeError:  # releases before 0.2.2
        found = encode(text, out_type="immutable_proto")
    for piece in found.pieces:
        yield piece.id, piece.surface
