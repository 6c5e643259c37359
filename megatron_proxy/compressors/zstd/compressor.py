"""zstd: per segment, with a dictionary trained on the corpus; or the paper's kind, one frame per document.

A frame over a whole document is opaque: one edit changes everything after it. So each segment is compressed on its own,
cut where content says so, and by default zstd's matches are written as symbols that say what they stand for (the form
``matches``, :mod:`.matches`). The form ``bytes`` keeps zstd's own bytes, without headers
(:mod:`.blocks`). ``docs/compressors.md`` tells what was tried.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Annotated, Any, Final, Self, override

import numpy as np
import zstandard
from numpy.typing import NDArray

from ...errors import CompressorError
from .. import checks, library_probe
from ..base import Compressor, Corpus, Encoded
from ..options import MADE, Options, Setting, check_whole
from ..sample import sample
from ..segments.segmenter import MAX_BYTES_LIMIT, Segmenter, SegmentKind
from ..words import PADDING
from .blocks import BlockForm
from .library import DICTIONARY_KINDS, decompress_frame, train_dictionary
from .matches import MatchForm
from .phrases import choose_phrases, read_phrases, write_phrases

DICTIONARY_FILE: Final = "dictionary.zdict"
PHRASES_FILE: Final = "phrases.bin"
MAX_DICTIONARY_BYTES: Final = 1 << 20

_LEVELS: Final = (-100, 22)
_SHORTEST_SEGMENT: Final = 16
# Documents are cut and compressed in batches of about so many bytes, which bounds memory.
_BATCH: Final = 1 << 22


@dataclass(frozen=True)
class ZstdOptions(Options):
    """The settings of :class:`ZstdCompressor`.

    ``dictionary`` is its kind: ``trained``, ``raw`` (just content, for corpora too small to train on) or ``none``.
    ``probe`` is the digest of what the library must make of the probe text; empty to take this machine's.
    """

    level: Annotated[int, Setting(f"compression level, {_LEVELS[0]} to {_LEVELS[1]}", *_LEVELS, stored=True)] = 12
    segment: Annotated[str, Setting("what is compressed on its own", choices=tuple(map(str, SegmentKind)))] = "lines"
    segment_bytes: Annotated[int, Setting("longest segment", _SHORTEST_SEGMENT, MAX_BYTES_LIMIT)] = 256
    segmenter: Annotated[dict[str, Any], MADE] = field(default_factory=dict)
    dictionary: Annotated[str, Setting(choices=tuple(DICTIONARY_KINDS), stored=True)] = "none"
    form: Annotated[
        str, Setting("symbols for zstd's matches, or zstd's own bytes", choices=("matches", "bytes"), stored=True)
    ] = "matches"
    dictionary_bytes: Annotated[
        int, Setting("size of the dictionary trained on the corpus; 0 for none", 0, MAX_DICTIONARY_BYTES)
    ] = 16_384
    phrases: Annotated[int, Setting("frequent matches with a symbol of their own, in the form matches", 0, 1 << 20)] = (
        8_192
    )
    sample_bytes: Annotated[
        int, Setting("how much of the corpus dictionary and phrases are learnt from", 1, 1 << 30)
    ] = 16 << 20
    probe: Annotated[str, MADE] = ""


class ZstdCompressor(Compressor):
    """zstd with its settings.

    Parameters
    ----------
    settings
        How it was set.
    segmenter
        How documents are cut.
    dictionary
        Content of the dictionary; empty for none.
    phrases
        Matches with a symbol of their own, for the form ``matches``; whole documents are always ``bytes``.
    """

    name = "zstd"
    options = ZstdOptions.flags()

    def __init__(
        self, settings: ZstdOptions, segmenter: Segmenter, dictionary: bytes, phrases: Sequence[bytes] = ()
    ) -> None:
        self.level = settings.level
        self.segmenter = segmenter
        self.dictionary = dictionary
        self.phrases = list(phrases)
        self.whole = self.control = segmenter.kind is SegmentKind.DOCUMENT
        self.literals = self.spans = not self.whole
        self._local = threading.local()
        self._checked = not settings.probe
        try:
            self._zdict: zstandard.ZstdCompressionDict | None = None
            if settings.dictionary != "none":
                kind = DICTIONARY_KINDS[settings.dictionary]
                self._zdict = zstandard.ZstdCompressionDict(dictionary, dict_type=kind)
                self._zdict.precompute_compress(compression_params=self._parameters())
            probe = settings.probe or library_probe.digest(self._compress_all)
        except zstandard.ZstdError as error:
            raise CompressorError(f"zstd refuses these settings or this dictionary: {error}") from error
        self.settings = replace(settings, segmenter=segmenter.config(), probe=probe)
        matches = settings.form == "matches" and not self.whole
        self._form: BlockForm | MatchForm = (
            MatchForm(dictionary, segmenter.max_bytes, self.phrases) if matches else BlockForm(self._zdict)
        )

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        settings = ZstdOptions.given(options, cls.name)
        # A block that cannot be compressed has one code more than bytes, and spans count to 65,535.
        longest = MAX_BYTES_LIMIT - (settings.form == "bytes")
        check_whole(settings.segment_bytes, _SHORTEST_SEGMENT, longest, f"--{cls.name}-segment-bytes")
        segmenter = Segmenter.learnt(SegmentKind(settings.segment), settings.segment_bytes, corpus)
        learnt = sample(corpus, settings.sample_bytes) if settings.dictionary_bytes else []
        dictionary, kind = train_dictionary(list(segmenter.cut(learnt)), settings.dictionary_bytes, settings.level)
        settings = replace(settings, dictionary=kind)
        built = cls(settings, segmenter, dictionary)
        if settings.phrases and isinstance(built._form, MatchForm):
            matches = built._matches(built._form, learnt)
            built = cls(settings, segmenter, dictionary, choose_phrases(matches, settings.phrases))
        return built

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        settings = ZstdOptions.restored(config)
        return cls(
            settings,
            Segmenter.from_config(settings.segmenter, files),
            b"" if settings.dictionary == "none" else checks.file(files, DICTIONARY_FILE),
            read_phrases(files.get(PHRASES_FILE, b"")),
        )

    @override
    def config(self) -> dict[str, Any]:
        return self.settings.stored()

    @override
    def files(self) -> dict[str, bytes]:
        files = {DICTIONARY_FILE: self.dictionary} if self.dictionary else {}
        if self.phrases:
            files[PHRASES_FILE] = write_phrases(self.phrases)
        return files | self.segmenter.files()

    @property
    @override
    def num_symbols(self) -> int:
        return 256 if self.whole else self._form.num_symbols

    @override
    def symbol_bytes(self) -> NDArray[np.int32] | None:
        return None if self.whole else self._form.symbol_bytes()

    @override
    def encode(self, document: bytes) -> NDArray[Any]:
        return self.encode_spans(document).codes

    @override
    def encode_spans(self, document: bytes) -> Encoded:
        return next(self.encode_each((document,)))

    @override
    def encode_each(self, documents: Iterable[bytes]) -> Iterator[Encoded]:
        if not self._checked:
            library_probe.check(
                self.settings.probe, self._compress_all, f"zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}"
            )
            self._checked = True
        if self.whole:
            yield from map(self._encode_whole, documents)
            return
        # Each call of the library prepares tables, which takes as long as some kilobytes of text.
        for batch in _batches(documents):
            yield from self._encode_together(batch) if sum(map(len, batch)) <= _BATCH else map(self._encode_long, batch)

    def _encode_whole(self, document: bytes) -> Encoded:
        codes = np.frombuffer(self._context.compress(document) if document else b"", dtype=np.uint8)
        return Encoded.as_a_whole(codes, document)

    def _encode_together(self, documents: Sequence[bytes]) -> Iterator[Encoded]:
        """Documents whose segments are laid end to end."""
        cuts = [self.segmenter.ends(document) for document in documents]
        begins = accumulate(map(len, documents), initial=0)
        ends = np.concatenate([own + begin for own, begin in zip(cuts, begins, strict=False)])
        codes, code_ends = self._encode_batch(b"".join((*documents, PADDING)), ends)
        segment = code = 0
        for own in cuts:
            last = segment + len(own)
            stop = int(code_ends[last - 1]) if len(own) else code
            yield Encoded(codes[code:stop], own, code_ends[segment:last] - code)
            segment, code = last, stop

    def _encode_long(self, document: bytes) -> Encoded:
        """A document that is taken in stretches of about :data:`_BATCH` bytes."""
        ends = self.segmenter.ends(document)
        parts, part_ends = [], []
        first = begin = done = 0
        while first < len(ends):
            last = max(first + 1, int(np.searchsorted(ends, begin + _BATCH, side="right")))
            end = int(ends[last - 1])
            codes, code_ends = self._encode_batch(document[begin:end] + PADDING, ends[first:last] - begin)
            parts.append(codes)
            part_ends.append(code_ends + done)
            done += len(codes)
            first, begin = last, end
        return Encoded(np.concatenate(parts), ends, np.concatenate(part_ends))

    def _encode_batch(self, text: bytes, ends: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The codes of the segments of ``text``, which ends with padding, and where each segment's codes end."""
        dtype = self.vocabulary.code_dtype
        if not len(ends):
            return np.empty(0, dtype=dtype), ends
        return self._form.encode(self._frames(text, ends), np.frombuffer(text, dtype=np.uint8), ends, dtype)

    def _matches(self, form: MatchForm, documents: Sequence[bytes]) -> Iterator[bytes]:
        """Every match in some documents, as a string."""
        for document in filter(None, documents):
            ends = self.segmenter.ends(document)
            for first, behind, _ in form.matches(self._frames(document + PADDING, ends), ends).tolist():
                yield document[first:behind]

    def _frames(self, text: bytes, ends: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The frames of the segments of ``text`` that end at ``ends``, with padding."""
        table = np.empty((len(ends), 2), dtype=np.uint64)
        table[0, 0] = 0
        table[1:, 0] = ends[:-1]
        table[:, 1] = ends - table[:, 0].astype(np.int64)
        segments = zstandard.BufferWithSegments(text, table.tobytes())
        frames: Any = self._context.multi_compress_to_buffer(segments)
        return np.frombuffer(b"".join((*frames, PADDING)), dtype=np.uint8)

    def _compress_all(self, text: bytes) -> bytes:
        if self.whole:
            return self._context.compress(text)
        return self._frames(text, self.segmenter.ends(text))[: -len(PADDING)].tobytes()

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        codes = checks.codes_below(codes, self.vocabulary.num_codes)
        if not self.whole:
            return self._form.decode(codes, self.segmenter)
        return decompress_frame(codes.astype(np.uint8).tobytes(), self._zdict) if len(codes) else b""

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


def _batches(documents: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Documents in lists of :data:`_BATCH` bytes at most, or of one document that is longer."""
    batch: list[bytes] = []
    size = 0
    for document in documents:
        if batch and size + len(document) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document)
    if batch:
        yield batch
