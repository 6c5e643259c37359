"""The prepared datasets of a run: found, checked, and agreeing with each other, before the model is built.

What every rank must know stands in the manifests, which each reads once. Views are opened where data is read; one rank
looks at all of them before there is a model, so that what is missing is told before the long work.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ... import compressors, vocab
from ...data.dataset import manifest, reader
from ...data.dataset.manifest import CompressedView, Manifest, View
from ...data.dataset.reader import UnmappedView, ViewReader
from ...data.sampling.plan import DocumentSizes
from ...data.sampling.schedule import Mode
from ...data.sampling.spans import SpanReader, Spans, SpanTable
from ...errors import ConfigurationError, DatasetError, UnsupportedError
from ...vocab import Vocabulary

_VIEW_ENDINGS: Final = ("_raw_document", "_text_document", "_document", ".bin", ".idx")


@dataclass(frozen=True)
class Prepared:
    """One prefix with its manifest and the compressed view in use."""

    prefix: str
    compressor: str
    manifest: Manifest
    compressed: CompressedView


class PreparedViews:
    """The opened views of one prefix, checked against its manifest: what Megatron calls a low-level dataset.

    Pickled (for data loaders that start their workers anew) it is its prefix only, and is opened again.

    Parameters
    ----------
    prepared
        The prefix.
    with_spans
        Whether a mode of the run needs the spans; without it they are not opened.
    mapped
        Whether the views' ``.bin`` files are mapped into memory; if not, they are read as needed.
    """

    def __init__(self, prepared: Prepared, *, with_spans: bool, mapped: bool = True) -> None:
        self.prepared = prepared
        self._mapped = mapped
        self._stored_spans = prepared.compressed.spans if with_spans else None
        kind: type[Any] = ViewReader if mapped else UnmappedView
        prefix, name, documents = prepared.prefix, prepared.compressor, prepared.manifest.documents
        self.raw = reader.open_view_as(kind, reader.raw_path(prefix), prepared.manifest.raw, documents)
        compressed = reader.compressed_path(prefix, name)
        self.codes = reader.open_view_as(kind, compressed, prepared.compressed.view, documents)
        self.spans: Spans | None = self._table() if mapped else self._reader()

    def __reduce__(self) -> tuple[Any, ...]:
        with_spans = self._stored_spans is not None
        return partial(PreparedViews, self.prepared, with_spans=with_spans, mapped=self._mapped), ()

    @property
    def sizes(self) -> DocumentSizes:
        """What planning must know. It goes through all spans at once, which are mapped for it."""
        spans = self.spans if isinstance(self.spans, SpanTable) else self._table()
        return DocumentSizes(self.raw.sequence_lengths, self.codes.sequence_lengths, spans)

    def _table(self) -> SpanTable | None:
        return None if self._stored_spans is None else SpanTable(self._open_spans(ViewReader, self._stored_spans))

    def _reader(self) -> SpanReader | None:
        return None if self._stored_spans is None else SpanReader(self._open_spans(UnmappedView, self._stored_spans))

    def _open_spans(self, kind: type[Any], stored: View) -> Any:
        path = reader.spans_path(self.prepared.prefix, self.prepared.compressor)
        return reader.open_view_as(kind, path, stored, self.prepared.manifest.documents)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells these documents and views from all others (JSON-able): part of the key of cached plans."""
        compressed = self.prepared.compressed
        stored = (self.prepared.manifest.raw, compressed.view, compressed.spans)
        return {"compressor": compressed.fingerprint, "views": [view and view.idx.sha256 for view in stored]}


def open_all(prefixes: Iterable[str], compressor: str, *, check_views: bool = True) -> list[Prepared]:
    """Read the manifest of every prefix once, in order of appearance.

    Parameters
    ----------
    prefixes
        As they were given; one may be there twice.
    compressor
        The name of the compressor.
    check_views
        Whether to look at the views too, which are otherwise checked where they are opened.

    Raises
    ------
    CompressorError
        An unknown compressor (with the known ones).
    DatasetError
        A prefix that is not prepared (with the command that prepares it), damaged views, or prefixes with different
        vocabularies.
    """
    prepared = [_read(prefix, compressor) for prefix in dict.fromkeys(prefixes)]
    if check_views:
        for one in prepared:
            reader.check_views(one.prefix, one.manifest, compressor)
    for other in prepared[1:]:
        if other.compressed.vocabulary != prepared[0].compressed.vocabulary:
            raise DatasetError(
                f"the {compressor} views have different vocabularies: {_describe(prepared[0])}, {_describe(other)}",
                where=str(manifest.path_of(other.prefix)),
                fix=f"prepare one with the other's: {manifest.prepare_command('NEW', compressor)} "
                f"--compressor-from {shlex.quote(prepared[0].prefix)}",
            )
    return prepared


def _read(prefix: str, compressor: str) -> Prepared:
    if "://" in prefix:
        raise UnsupportedError("views are read from a file system, not from object storage", where=prefix)
    try:
        found = manifest.read(prefix)
        return Prepared(prefix, compressor, found, manifest.compressed_view(prefix, found, compressor))
    except DatasetError as error:
        # A compressor that nobody knows has no views anywhere. To look for its name takes reading what is installed.
        compressors.get(compressor)
        if isinstance(error.__cause__, FileNotFoundError):
            raise _not_prepared(prefix, compressor) from error
        raise


def _not_prepared(prefix: str, compressor: str) -> DatasetError:
    command = manifest.prepare_command(prefix, compressor)
    for ending in (f"_{compressor}_document", *_VIEW_ENDINGS):
        shorter = prefix.removesuffix(ending)
        if shorter != prefix and manifest.path_of(shorter).exists():
            command = f"give the prefix {shorter!r}, without the ending of a view"
            break
    return DatasetError(
        f"{prefix!r} is not a prepared dataset: there is no {manifest.path_of(prefix).name}",
        where="--data-path",
        fix=command,
    )


def _describe(prepared: Prepared) -> str:
    view = prepared.compressed
    literals = " and literal bytes" if view.literals else ""
    return f"{prepared.prefix!r} has {view.num_symbols:,} symbols{literals}"


def check_modes(prepared: Sequence[Prepared], compressor: str, modes: Iterable[Mode]) -> None:
    """Check that the compressor can do every mode of the schedule.

    Raises
    ------
    ConfigurationError
        ``interleaved`` with views that have no spans.
    """
    if Mode.INTERLEAVED not in set(modes):
        return
    for one in prepared:
        if one.compressed.spans is None:
            kind = compressors.get(compressor)
            why = "the view was prepared without them" if kind.spans else kind.no_spans_because
            raise ConfigurationError(
                f"the mode 'interleaved' needs spans that were encoded on their own, and the {compressor} view of "
                f"{one.prefix!r} has none: {why}",
                where="--proxy-mode, --proxy-warmup-mode, --proxy-final-mode",
                fix="choose another mode, or a compressor that encodes spans",
            )


def vocabulary(prepared: Sequence[Prepared]) -> Vocabulary:
    """The ids of the run (those of the first prefix: :func:`open_all` has checked that all agree)."""
    return prepared[0].compressed.vocabulary


def source_bytes(prepared: Sequence[Prepared], compressor: str) -> NDArray[np.float64]:
    """Source bytes that each id stands for, for the BPB of the compressed view.

    A byte stands for itself, a special for none. A symbol stands for what the compressor's table says; where there is
    no table, or prefixes with different tables are blended, for the mean over the views. The mean leaves out what
    stands as literal bytes, so that over a whole corpus the table adds up to its raw bytes.

    Returns
    -------
    float64, shape (vocabulary size,).
    """
    tables = [manifest.symbol_bytes(one.prefix, compressor, one.compressed) for one in _distinct(prepared)]
    first = tables[0]
    if first is not None and not all(np.array_equal(first, other) for other in tables[1:] if other is not None):
        first = None
    literals = sum(one.compressed.literal_bytes for one in prepared)
    raw = sum(one.manifest.raw.units for one in prepared)
    codes = sum(one.compressed.view.units for one in prepared)
    mean = (raw - literals) / max(1, codes - literals)
    return vocab.bytes_per_id(vocabulary(prepared), first, mean=mean).astype(np.float64)


def _distinct(prepared: Sequence[Prepared]) -> list[Prepared]:
    """One prefix per compressor fingerprint."""
    return list({one.compressed.fingerprint: one for one in prepared}.values())
