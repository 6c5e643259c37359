"""Whether a prepared dataset is what it was when it was written, and decodes to itself.

Training checks sizes, dtypes and counts by itself (:meth:`.opened.PreparedDataset.check`). Here everything is read:

* every file's SHA-256 against the manifest;
* every index: sequences end to end, one per document; spans that add up to their documents;
* every compressor: it can be restored from the manifest, with the same fingerprint;
* every cached plan beside the data, or in a folder that is named: training reads those only that somebody has changed;
* with ``deep``, every document: decode(compressed) == raw. Of one document in 16 each span is decoded alone, too, and
  the document is encoded again: the codes and spans must be those on disk, unless they were given.

All that is wrong is collected, not just the first thing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common import jit
from ...common.parallel import Workers
from ...common.progress import Progress
from ...compressors import Compressor
from ...errors import CompressorError, DatasetError, ProxyError
from ..prepare.encode import Range, ranges
from ..sampling import cache
from .manifest import StoredFile, sha256_of
from .opened import PreparedDataset
from .reader import ViewReader

_BLOCK: Final = 1 << 16
_DOCUMENTS_PER_CHECK: Final = 16
# Of a view that is wrong throughout, the first few documents tell enough.
_SHOWN: Final = 10
_NEVER: Final = 1 << 62


@dataclass
class Findings:
    """What was checked and what was found.

    Parameters
    ----------
    files, bytes
        How many files, with how many bytes, were compared with their checksums.
    plans
        How many cached plans were read.
    decoded, encoded
        How many documents were decoded, and encoded again, by compressor.
    notes
        What could not be checked here, and why; no problem of the dataset.
    problems
        What is wrong, one message each.
    """

    files: int = 0
    bytes: int = 0
    plans: int = 0
    decoded: dict[str, int] = field(default_factory=dict)
    encoded: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def check[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call a check; what it raises becomes a problem, and the result None."""
        try:
            return function(*args, **kwargs)
        except ProxyError as error:
            self.problems.append(str(error))
            return None


def verify(
    prefix: str, *, deep: bool = False, workers: int = 1, log_interval: int, plans: Path | None = None
) -> Findings:
    """Check a prepared dataset; without a manifest that can be read, a DatasetError.

    Parameters
    ----------
    prefix
        Its prefix.
    deep
        Decode every document as well.
    workers
        Threads that read files, and processes that decode.
    log_interval
        Documents between two lines of progress.
    plans
        A folder of cached plans, which may be of other datasets too; by default the one beside the data.
    """
    dataset = PreparedDataset.open(prefix)
    content, layout = dataset.manifest, dataset.layout
    findings = Findings()
    _check_files(layout.folder, content.stored_files(), workers, findings)
    for path in sorted((layout.plans if plans is None else plans).glob("*-ProxyPlan.plan")):
        findings.plans += 1
        findings.check(cache.check, path)
    raw = findings.check(_whole, dataset.raw)
    for name, entry in content.compressed.items():
        compressor = findings.check(dataset.compressor, name)
        codes = findings.check(_whole, partial(dataset.codes, name))
        if raw is None or codes is None:
            continue
        spans = None
        if entry.spans is not None:
            spans = findings.check(_whole, partial(dataset.spans, name))
            if spans is None or findings.check(_check_spans, raw, codes, spans) is None:
                continue
        if deep and compressor is not None and compressor.decodes:
            findings.decoded[name] = content.documents
            encodes = content.given(name) is None and _encodes_here(compressor, findings)
            if encodes:
                findings.encoded[name] = -(-content.documents // _DOCUMENTS_PER_CHECK)
            decoder = Decoder(raw.path, codes.path, None if spans is None else spans.path, compressor, encodes)
            _check_documents(decoder, raw, workers, log_interval, findings)
    return findings


def _encodes_here(compressor: Compressor, findings: Findings) -> bool:
    """Whether a compressor can encode on this machine: another zlib or zstd can decode, but makes other codes."""
    try:
        compressor.encode(b"")
    except CompressorError as error:
        findings.notes.append(f"the {compressor.name} view is not encoded again: {error.what}")
        return False
    return True


def _check_files(folder: Path, files: list[StoredFile], workers: int, findings: Findings) -> None:
    """Compare all checksums, several files at a time (hashing lets other threads run)."""
    lock = threading.Lock()
    total = sum(stored.size for stored in files)
    with Progress("checksums", total, log_interval=_NEVER) as progress:

        def advance(size: int) -> None:
            with lock:
                progress.advance(0, size)

        with ThreadPoolExecutor(max(workers, 1)) as pool:
            for problem in pool.map(partial(_check_file, folder, advance), files):
                findings.problems += problem
    findings.files, findings.bytes = len(files), total


def _check_file(folder: Path, advance: Callable[[int], None], stored: StoredFile) -> list[str]:
    path = folder / stored.name
    try:
        size = path.stat().st_size
        if size != stored.size:
            return [f"{path}: the file has {size:,} bytes, the manifest says {stored.size:,}"]
        if sha256_of(path, advance) != stored.sha256:
            return [f"{path}: the content is not what the manifest says (SHA-256)"]
    except OSError as error:
        return [f"{path}: cannot be read ({error.strerror})"]
    return []


def _whole[View: ViewReader | None](opener: Callable[[], View]) -> View:
    """A view, with all of its index checked."""
    if (opened := opener()) is not None:
        opened.check_index()
    return opened


def _check_spans(raw: ViewReader, codes: ViewReader, spans: ViewReader) -> bool:
    """Check that the spans of each document add up to its bytes and its codes."""
    units, _, all_lengths = spans.flat
    for begin in range(0, len(spans), _BLOCK):
        end = min(begin + _BLOCK, len(spans))
        lengths = all_lengths[begin:end].astype(np.int64)
        numbers, units = np.split(units, [lengths.sum()])
        # An odd number of units is no list of pairs; the sums below may then be anything.
        ends = np.cumsum(lengths) // 2
        sums = np.zeros((len(numbers) // 2 + 1, 2), dtype=np.int64)
        np.cumsum(numbers[: 2 * len(sums) - 2].reshape(-1, 2), axis=0, dtype=np.int64, out=sums[1:])
        found = sums[ends] - sums[np.concatenate([[0], ends[:-1]])]
        expected = np.stack([raw.sequence_lengths[begin:end], codes.sequence_lengths[begin:end]], axis=1)
        wrong = (lengths % 2 != 0) | (found != expected).any(axis=1)
        if wrong.any():
            raise DatasetError(
                f"document {begin + int(np.argmax(wrong))}: its spans do not add up to its bytes and codes",
                where=f"{spans.path}.bin",
            )
    return True


@dataclass(frozen=True)
class Decoder:
    """What a worker needs to decode documents and compare them; ``encodes``: some of them are encoded, too."""

    raw_path: str
    codes_path: str
    spans_path: str | None
    compressor: Compressor
    encodes: bool

    def __call__(self) -> Callable[[Range], Decoded]:
        """Open the views, in the worker."""
        spans = None if self.spans_path is None else ViewReader(self.spans_path)
        return partial(self._decode, ViewReader(self.raw_path), ViewReader(self.codes_path), spans)

    def _decode(self, raw: ViewReader, codes: ViewReader, spans: ViewReader | None, documents: Range) -> Decoded:
        begin, end = documents
        wrong, size = [], 0
        contents = zip(raw.read_each(begin, end), codes.read_each(begin, end), strict=True)
        for number, (expected, stored) in enumerate(contents, start=begin):
            size += len(expected)
            units = np.frombuffer(stored, dtype=codes.dtype, count=len(stored) // codes.dtype.itemsize)
            what = _difference(self.compressor, units, expected)
            if what is None and number % _DOCUMENTS_PER_CHECK == 0:
                pairs = None if spans is None else spans.get(number)
                if pairs is not None:
                    what = _span_difference(self.compressor, units, expected, pairs)
                if what is None and self.encodes:
                    what = _encoding_difference(self.compressor, units, expected, pairs)
            if what is not None:
                wrong.append((number, what))
        return Decoded(end - begin, size, wrong)


@dataclass(frozen=True)
class Decoded:
    """How many documents, with how many bytes, and what is wrong with which of them."""

    documents: int
    bytes: int
    wrong: list[tuple[int, str]]


def _check_documents(decoder: Decoder, raw: ViewReader, workers: int, log_interval: int, findings: Findings) -> None:
    name = decoder.compressor.name
    wrong = 0
    with (
        Progress(f"decoding the {name} view", raw.units, log_interval=log_interval) as progress,
        Workers(decoder, workers, preload=[__name__, jit.READY]) as pool,
    ):
        for found in pool.map(ranges(raw, (0, len(raw)), workers)):
            progress.advance(found.documents, found.bytes)
            for document, what in found.wrong[: max(0, _SHOWN - wrong)]:
                findings.problems.append(f"{decoder.codes_path}.bin: document {document}: {what}")
            wrong += len(found.wrong)
    if wrong > _SHOWN:
        findings.problems.append(f"{decoder.codes_path}.bin: {wrong:,} documents are wrong, {_SHOWN} of them are shown")


def _difference(compressor: Compressor, codes: NDArray[Any], expected: bytes) -> str | None:
    """What is wrong with the codes of some bytes, if anything."""
    try:
        found = compressor.decode(codes)
    except CompressorError as error:
        return f"cannot be decoded ({error})"
    if not compressor.lossless or found == expected:
        return None
    place = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
    where = f"{len(found):,} bytes instead of {len(expected):,}" if place is None else f"another byte at {place:,}"
    return f"decodes to something else than the raw view has ({where})"


def _encoding_difference(
    compressor: Compressor, codes: NDArray[Any], document: bytes, pairs: NDArray[Any] | None
) -> str | None:
    """What a document's codes and spans differ in from those that the compressor gives it now, if anything."""
    try:
        found = compressor.encode_spans(document)
    except CompressorError as error:
        return f"cannot be encoded again ({error})"
    if not np.array_equal(found.codes, codes):
        return "is encoded to other codes now than the view has: the compressor that made it gave other codes"
    if pairs is None:
        return None
    ends = np.stack([found.byte_ends, found.code_ends], axis=1)
    same = np.array_equal(np.cumsum(pairs.reshape(-1, 2), axis=0, dtype=np.int64), ends)
    return None if same else "is cut into other spans now than the view has"


def _span_difference(compressor: Compressor, codes: NDArray[Any], expected: bytes, pairs: NDArray[Any]) -> str | None:
    """The same for each span on its own."""
    byte = code = 0
    for number, (bytes_, codes_) in enumerate(pairs.reshape(-1, 2).tolist()):
        what = _difference(compressor, codes[code : code + codes_], expected[byte : byte + bytes_])
        if what is not None:
            return f"span {number} {what}"
        byte, code = byte + bytes_, code + codes_
    return None
