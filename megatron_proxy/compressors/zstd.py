"""zstd: per segment, with a dictionary trained on the corpus; or the paper's kind, one frame per document.

A frame over a whole document is opaque: one edit changes everything after it. So by default each segment is a frame of
its own, cut where content says so, and what is known beforehand (headers) is left out of the stream; see
:mod:`._zstd_blocks` for the codes and ``docs/compressors.md`` for what was tried.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, override

import numpy as np
import zstandard
from numpy.typing import NDArray

from ..errors import CompressorError
from ..segment import Kind, Segmenter
from . import _check, _probe, _zstd_blocks
from ._sample import sample
from ._segments import check_borders, cut, restore_segmenter, segmenter_files, segmenter_of
from ._zstd_library import DICTIONARY_KINDS, decompress_frame, dictionary_object, train_dictionary
from .base import Compressor, Corpus, Encoded, Option

DICTIONARY_FILE: Final = "dictionary.zdict"
MAX_DICTIONARY_BYTES: Final = 1 << 24

_LEVELS: Final = (-100, 22)
# Documents are cut and compressed in batches of about so many bytes, which bounds memory.
_BATCH: Final = 1 << 22


class ZstdCompressor(Compressor):
    """zstd with the settings of :attr:`options`.

    Parameters
    ----------
    level
        zstd's compression level.
    segmenter
        How documents are cut.
    dictionary
        Content of the dictionary; empty for none.
    dictionary_kind
        ``trained``, ``raw`` (just content, for corpora too small to train on) or ``none``.
    probe
        Digest of what the library must make of the probe text; None to take this machine's.
    """

    name = "zstd"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "level", int, 9, f"compression level, {_LEVELS[0]} to {_LEVELS[1]}; negative ones leave literals visible"
        ),
        Option("segment", str, "lines", "what is compressed on its own", tuple(map(str, Kind))),
        Option("segment-bytes", int, 256, "longest segment"),
        Option("dictionary-bytes", int, 112_640, "size of the dictionary trained on the corpus; 0 for none"),
        Option("sample-bytes", int, 16 << 20, "how much of the corpus the dictionary is trained on"),
    )

    def __init__(
        self, level: int, segmenter: Segmenter, dictionary: bytes, dictionary_kind: str, probe: str | None = None
    ) -> None:
        self.level = level
        self.segmenter = segmenter
        self.dictionary = dictionary
        self.dictionary_kind = dictionary_kind
        self.whole = segmenter.kind is Kind.DOCUMENT
        self.literals = self.spans = not self.whole
        self._local = threading.local()
        self._checked = probe is None
        try:
            self._zdict = dictionary_object(dictionary, dictionary_kind)
            if self._zdict:
                self._zdict.precompute_compress(compression_params=self._parameters())
            self._probe = probe or _probe.digest(self._compress_all)
        except zstandard.ZstdError as error:
            raise CompressorError(f"zstd refuses these settings or this dictionary: {error}") from error

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        level = _check.option(options, cls.name, "level", *_LEVELS)
        size = _check.option(options, cls.name, "dictionary-bytes", 0, MAX_DICTIONARY_BYTES)
        budget = _check.option(options, cls.name, "sample-bytes", 1, 1 << 30)
        segmenter = segmenter_of(options, cls.name, corpus)
        dictionary, kind = (
            train_dictionary(cut(segmenter, sample(corpus, budget)), size, level) if size else (b"", "none")
        )
        return cls(level, segmenter, dictionary, kind)

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        kind = _check.entry(config, "dictionary", str)
        if kind not in DICTIONARY_KINDS:
            raise CompressorError(f"unknown kind of zstd dictionary {kind!r}")
        level = _check.option(config, cls.name, "level", *_LEVELS)
        dictionary = b"" if kind == "none" else _check.file(files, DICTIONARY_FILE)
        return cls(level, restore_segmenter(config, files), dictionary, kind, _check.entry(config, "probe", str))

    @override
    def config(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "segmenter": self.segmenter.config(),
            "dictionary": self.dictionary_kind,
            "probe": self._probe,
        }

    @override
    def files(self) -> dict[str, bytes]:
        dictionary = {DICTIONARY_FILE: self.dictionary} if self.dictionary else {}
        return dictionary | segmenter_files(self.segmenter)

    @property
    @override
    def vocab_size(self) -> int:
        return 256 if self.whole else _zstd_blocks.NUM_SYMBOLS

    @override
    def encode(self, document: bytes) -> NDArray[Any]:
        return self.encode_spans(document).codes

    @override
    def encode_spans(self, document: bytes) -> Encoded:
        if not self._checked:
            _probe.check(self._probe, self._compress_all, f"zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}")
            self._checked = True
        byte_ends = self.segmenter.ends(document)
        if self.whole:
            frame = self._context.compress(document) if document else b""
            codes: NDArray[Any] = np.frombuffer(frame, dtype=np.uint8)
            return Encoded(codes, byte_ends, np.full(len(byte_ends), len(codes), dtype=np.int64))
        codes, code_ends = self._encode_segments(document, byte_ends)
        return Encoded(codes, byte_ends, code_ends)

    def _encode_segments(
        self, document: bytes, ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        parts, code_ends = [np.empty(0, dtype=np.uint16)], np.empty(len(ends), dtype=np.int64)
        first = done = 0
        while first < len(ends):
            begin = int(ends[first - 1]) if first else 0
            stop = max(first + 1, int(np.searchsorted(ends, begin + _BATCH, side="right")))
            frames = np.frombuffer(self._compress(document, begin, ends[first:stop]), dtype=np.uint8)
            codes = np.empty(len(frames), dtype=np.uint16)
            count = _zstd_blocks.codes_of_frames(frames, codes, code_ends[first:stop])
            code_ends[first:stop] += done
            parts.append(codes[:count])
            done += count
            first = stop
        return parts[1] if len(parts) == 2 else np.concatenate(parts), code_ends

    def _compress(self, document: bytes, begin: int, ends: NDArray[np.int64]) -> bytes:
        """The frames of the segments that end at ``ends``, the first of which begins at ``begin``."""
        table = np.empty((len(ends), 2), dtype=np.uint64)
        table[0, 0] = begin
        table[1:, 0] = ends[:-1]
        table[:, 1] = ends - table[:, 0].astype(np.int64)
        segments = zstandard.BufferWithSegments(document, table.tobytes())
        frames: Any = self._context.multi_compress_to_buffer(segments)
        return b"".join(frames)

    def _compress_all(self, text: bytes) -> bytes:
        if self.whole:
            return self._context.compress(text)
        return self._compress(text, 0, self.segmenter.ends(text))

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        codes = np.ascontiguousarray(codes)
        if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < self.vocabulary.num_codes:
            raise CompressorError("codes out of range")
        if self.whole:
            return decompress_frame(codes.astype(np.uint8).tobytes(), self._zdict) if len(codes) else b""
        document, ends = self._decode_segments(codes.astype(np.uint16))
        check_borders(self.segmenter, document, ends)
        return document

    def _decode_segments(self, codes: NDArray[np.uint16]) -> tuple[bytes, list[int]]:
        frames = np.empty(5 * len(codes), dtype=np.uint8)
        ends = np.empty(len(codes), dtype=np.int64)
        count = _zstd_blocks.frames_of_codes(codes, frames, ends)
        if count < 0:
            raise CompressorError("these codes are not zstd blocks", where=f"code {-1 - count}")
        decompressor = zstandard.ZstdDecompressor(dict_data=self._zdict, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
        segments = []
        begin = 0
        try:
            view = memoryview(frames)
            for end in ends[:count].tolist():
                segments.append(decompressor.decompress(view[begin:end], max_output_size=self.segmenter.max_bytes))
                begin = end
        except zstandard.ZstdError as error:
            raise CompressorError(f"zstd cannot decompress segment {len(segments)}: {error}") from error
        return b"".join(segments), np.cumsum([len(segment) for segment in segments], dtype=np.int64).tolist()

    @property
    def _context(self) -> zstandard.ZstdCompressor:
        """The compression context of the calling thread: zstandard's are not safe to share."""
        context: zstandard.ZstdCompressor | None = getattr(self._local, "context", None)
        if context is None:
            context = zstandard.ZstdCompressor(dict_data=self._zdict, compression_params=self._parameters())
            self._local.context = context
        return context

    def _parameters(self) -> zstandard.ZstdCompressionParameters:
        form = zstandard.FORMAT_ZSTD1 if self.whole else zstandard.FORMAT_ZSTD1_MAGICLESS
        # Tables made for the segments' size: smaller, so faster to prepare, and a better choice of strategy.
        hints = {} if self.whole else {"source_size": self.segmenter.max_bytes, "dict_size": len(self.dictionary)}
        return zstandard.ZstdCompressionParameters.from_level(
            self.level, format=form, write_content_size=self.whole, write_checksum=False, write_dict_id=False, **hints
        )
