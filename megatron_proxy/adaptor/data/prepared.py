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
from ...data.dataset.layout import Layout
from ...data.dataset.manifest import CompressedView, Manifest, prepare_command
from ...data.dataset.opened import PreparedDataset
from ...data.dataset.reader import AnyView, UnmappedView, ViewReader
from ...data.sampling.plan import DocumentSizes
from ...data.sampling.schedule import Mode
from ...errors import ConfigurationError, DatasetError, UnsupportedError

_VIEW_ENDINGS: Final = ("_raw_document", "_text_document", "_document", ".bin", ".idx")


@dataclass(frozen=True)
class Prepared:
    """One prepared prefix and the compressed view in use."""

    dataset: PreparedDataset
    compressor: str

    @property
    def prefix(self) -> str:
        """As it was given."""
        return self.dataset.layout.prefix

    @property
    def manifest(self) -> Manifest:
        """Of the prefix."""
        return self.dataset.manifest

    @property
    def compressed(self) -> CompressedView:
        """What the manifest says of the view in use."""
        return self.manifest.compressed[self.compressor]


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
        dataset, name = prepared.dataset, prepared.compressor
        self.raw = dataset.open_view(kind, dataset.layout.raw, prepared.manifest.raw)
        self.codes = dataset.open_view(kind, dataset.layout.codes(name), prepared.compressed.view)
        self.spans: AnyView | None = self._open_spans(kind)

    def __reduce__(self) -> tuple[Any, ...]:
        with_spans = self._stored_spans is not None
        return partial(PreparedViews, self.prepared, with_spans=with_spans, mapped=self._mapped), ()

    @property
    def sizes(self) -> DocumentSizes:
        """What planning must know. It goes through all spans at once, which are mapped for it."""
        spans = self.spans if isinstance(self.spans, ViewReader) else self._open_spans(ViewReader)
        return DocumentSizes(self.raw.sequence_lengths, self.codes.sequence_lengths, spans)

    def _open_spans(self, kind: type[Any]) -> Any:
        if self._stored_spans is None:
            return None
        dataset = self.prepared.dataset
        return dataset.open_view(kind, dataset.layout.spans(self.prepared.compressor), self._stored_spans)

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
            one.dataset.check(compressor)
    for other in prepared[1:]:
        if other.compressed.vocabulary != prepared[0].compressed.vocabulary:
            raise DatasetError(
                f"the {compressor} views have different vocabularies: {_describe(prepared[0])}, {_describe(other)}",
                where=str(other.dataset.layout.manifest),
                fix=f"prepare one with the other's: {prepare_command('NEW', compressor)} "
                f"--compressor-from {shlex.quote(prepared[0].prefix)}",
            )
    return prepared


def _read(prefix: str, compressor: str) -> Prepared:
    if "://" in prefix:
        raise UnsupportedError("views are read from a file system, not from object storage", where=prefix)
    try:
        dataset = PreparedDataset.open(prefix)
        dataset.compressed(compressor)
        return Prepared(dataset, compressor)
    except DatasetError as error:
        # A compressor that nobody knows has no views anywhere. To look for its name takes reading what is installed.
        compressors.get(compressor)
        if isinstance(error.__cause__, FileNotFoundError):
            raise _not_prepared(prefix, compressor) from error
        raise


def _not_prepared(prefix: str, compressor: str) -> DatasetError:
    command = prepare_command(prefix, compressor)
    for ending in (f"_{compressor}_document", *_VIEW_ENDINGS):
        shorter = prefix.removesuffix(ending)
        if shorter != prefix and Layout(shorter).manifest.exists():
            command = f"give the prefix {shorter!r}, without the ending of a view"
            break
    return DatasetError(
        f"{prefix!r} is not a prepared dataset: there is no {Layout(prefix).manifest.name}",
        where="--data-path",
        fix=command,
    )


def _describe(prepared: Prepared) -> str:
    view = prepared.compressed
    literals = " and literal bytes" if view.literals else ""
    return f"{prepared.prefix!r} has {view.num_symbols:,} symbols{literals}"


def check_modes(prepared: Sequence[Prepared], modes: Iterable[Mode]) -> None:
    """Check that the compressor can do every mode of the schedule.

    Raises
    ------
    ConfigurationError
        ``interleaved`` with views that have no spans.
    """
    if not any(mode.in_spans for mode in modes):
        return
    for one in prepared:
        if one.compressed.spans is None:
            kind = compressors.get(one.compressor)
            why = "the view was prepared without them" if kind.spans else kind.no_spans_because
            raise ConfigurationError(
                f"the mode 'interleaved' needs spans that were encoded on their own, and the {one.compressor} view "
                f"of {one.prefix!r} has none: {why}",
                where="--proxy-mode, --proxy-warmup-mode, --proxy-final-mode",
                fix="choose another mode, or a compressor that encodes spans",
            )


def source_bytes(prepared: Sequence[Prepared]) -> NDArray[np.float64]:
    """Source bytes that each id stands for, for the BPB of the compressed view.

    A byte stands for itself, a special for none. A symbol stands for what the compressor's table says; where there is
    no table, or prefixes with different tables are blended, for the mean over the views. The mean leaves out what
    stands as literal bytes, so that over a whole corpus the table adds up to its raw bytes.

    Returns
    -------
    float64, shape (vocabulary size,).
    """
    distinct = {one.compressed.fingerprint: one for one in prepared}
    tables = [one.dataset.symbol_bytes(one.compressor) for one in distinct.values()]
    first = tables[0]
    if first is not None and not all(np.array_equal(first, other) for other in tables[1:] if other is not None):
        first = None
    literals = sum(one.compressed.literal_bytes for one in prepared)
    raw = sum(one.manifest.raw.units for one in prepared)
    codes = sum(one.compressed.view.units for one in prepared)
    mean = (raw - literals) / max(1, codes - literals)
    return vocab.bytes_per_id(prepared[0].compressed.vocabulary, first, mean=mean).astype(np.float64)
