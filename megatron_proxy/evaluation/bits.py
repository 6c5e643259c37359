"""Bits per byte of a corpus, over raw bytes or over the compressed view.

The accounting:

* Counted are the nats of the labels that are bytes (raw view), or symbols and literal bytes (compressed view). The
  sentinels, and the end of a document, are read but not counted, as in the training log.
* BPB = those nats / ln 2 / the documents' UTF-8 bytes. Both views are so in bits per byte of the same text.
* Every byte is scored exactly once (see :mod:`.windows`): in the first window of its stream, or in the one later window
  whose scored part it falls into, with up to ``context - stride`` ids or more before it as context.
* Separate documents: each is a stream of its own that begins with ``<raw>``, so nothing crosses from one document to
  the next. Concatenated: all documents make one stream, ``<raw> R </raw> eos <raw> R </raw> eos …``, as in training.
* ``bpb`` is under the model's whole vocabulary, as in training. ``bpb of bytes alone`` leaves out the compressed
  symbols and pads: the specials and bytes are all the ids that the exported model has. It is lower by the probability
  that the model gives to symbols inside a raw view, which after training is next to nothing. The compressed view has
  no such figure: its symbols are none of those ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import corpus
from ..errors import CorpusError
from ..vocab import COMPRESSED_CLOSE, COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN, bits_per_byte, raw_ids
from .scoring import Scored, Scorer, Segment, Tally
from .windows import IdStream


class Document(NamedTuple):
    """A document, the file it is from, and its domain (None without a domain key)."""

    content: bytes
    file: str
    domain: str | None


@dataclass(frozen=True)
class EvaluatedView:
    """How a document becomes ids of the view ``raw`` or ``compressed``: ``encode`` gives those between the sentinels.

    ``sentinels`` tells whether there are any (not in mode ``vanilla``).
    """

    name: str
    encode: Callable[[bytes], NDArray[np.int64]]
    opener: int
    closer: int
    sentinels: bool = True


def raw_view(sentinels: bool = True) -> EvaluatedView:
    """The raw view."""
    return EvaluatedView("raw", raw_ids, RAW_OPEN, RAW_CLOSE, sentinels)


def compressed_view(encode: Callable[[bytes], NDArray[np.int64]], sentinels: bool = True) -> EvaluatedView:
    """The compressed view; ``encode`` goes from bytes to ids (not codes)."""
    return EvaluatedView("compressed", encode, COMPRESSED_OPEN, COMPRESSED_CLOSE, sentinels)


def read_documents(
    inputs: Sequence[str],
    key: str,
    domain_key: str | None = None,
    *,
    skip_bad_lines: bool = False,
    taking: corpus.Taking = corpus.AS_THEY_ARE,
) -> Iterator[Document]:
    """The documents of a corpus with their file and domain, in order.

    Raises
    ------
    CorpusError
        While iterating: a bad line (``file:line``), or a file that cannot be read.
    """
    keys = [key] if domain_key is None else [key, domain_key]
    for chunk in corpus.chunks(corpus.expand(inputs, taking)):
        parsed = corpus.read_chunk(chunk, keys)
        if parsed.bad and not skip_bad_lines:
            first = parsed.bad[0]
            flags = {} if domain_key is None else {domain_key: "--domain-key"}
            raise corpus.bad_line(corpus.where(chunk, first), first, flags)
        for content, *domain in zip(*parsed.documents, strict=True):
            yield Document(content, chunk.path, domain[0].decode("utf-8", "replace") if domain else None)


@dataclass
class Bits:
    """The sums by (file, domain), and the name of the view that was read."""

    tallies: dict[tuple[str, str | None], Tally] = field(default_factory=dict)
    view: str = "raw"

    def of(self, document: Document) -> Tally:
        """The tally for a document, which is counted."""
        tally = self.tallies.setdefault((document.file, document.domain), Tally())
        tally.documents += 1
        tally.source_bytes += len(document.content)
        return tally

    @property
    def total(self) -> Tally:
        """The sums over everything."""
        found = Tally()
        for tally in self.tallies.values():
            found.add(tally)
        return found

    def by_file(self) -> dict[str, Tally]:
        """Sums by file, in order of appearance."""
        return self._by(0)

    def by_domain(self) -> dict[str, Tally]:
        """Sums by domain, sorted; empty without domains."""
        return dict(sorted(self._by(1).items()))

    def _by(self, part: int) -> dict[str, Tally]:
        found: dict[str, Tally] = {}
        for key, tally in self.tallies.items():
            if (name := key[part]) is not None:
                found.setdefault(name, Tally()).add(tally)
        return found


def measure(documents: Iterable[Document], view: EvaluatedView, scorer: Scorer, *, concatenate: bool = False) -> Bits:
    """Score every document.

    Raises
    ------
    CorpusError
        If there is not a single byte.
    """
    bits = Bits(view=view.name)
    scorer.score(_concatenated(documents, view, bits) if concatenate else _separate(documents, view, bits))
    if bits.total.source_bytes == 0:
        raise CorpusError("there is nothing to evaluate: no document holds a byte", where="--input")
    return bits


def _separate(documents: Iterable[Document], view: EvaluatedView, bits: Bits) -> Iterator[Scored]:
    for document in documents:
        ids = view.encode(document.content)
        stream = IdStream(ids, view.opener if view.sentinels else EOS, view.sentinels)
        yield Scored(stream, [Segment(0, len(ids), bits.of(document), len(document.content))])


def _concatenated(documents: Iterable[Document], view: EvaluatedView, bits: Bits) -> Iterator[Scored]:
    """One stream of all documents: it is held in memory whole."""
    before = [view.opener] if view.sentinels else []
    after = [view.closer, EOS] if view.sentinels else [EOS]
    pieces: list[NDArray[np.int64]] = []
    segments = []
    length = 0
    for document in documents:
        ids = view.encode(document.content)
        begin = length + len(before)
        segments.append(Segment(begin, begin + len(ids), bits.of(document), len(document.content)))
        pieces += [np.array(before, dtype=np.int64), ids, np.array(after, dtype=np.int64)]
        length = begin + len(ids) + len(after)
    if pieces:
        yield Scored(IdStream(np.concatenate(pieces), EOS, view.sentinels), segments)


def figures(tally: Tally, view: str = "raw") -> dict[str, Any]:
    """A tally of one view as figures for JSON; None where there is none."""
    alone = bits_per_byte(tally.byte_nats, tally.source_bytes) if view == "raw" else None
    return {
        "documents": tally.documents,
        "bytes": tally.source_bytes,
        "targets": tally.targets,
        "nats": tally.nats,
        "bpb": bits_per_byte(tally.nats, tally.source_bytes),
        "bpb_of_bytes_alone": alone,
        "accuracy": tally.correct / tally.targets if tally.targets else None,
    }


def as_json(bits: Bits) -> dict[str, Any]:
    """All figures, JSON-able."""
    return {
        **figures(bits.total, bits.view),
        "files": {name: figures(tally, bits.view) for name, tally in bits.by_file().items()},
        "domains": {name: figures(tally, bits.view) for name, tally in bits.by_domain().items()},
    }


_ALONE: Final = "bpb_of_bytes_alone"
_MEANING: Final = {
    "bpb": "bits per source byte under all ids that the model has, as in the training log's {} bpb",
    _ALONE: "under the specials and bytes alone, which are all the ids of the exported model",
}


def as_table(bits: Bits) -> str:
    """The figures as a table, files and domains before the total, and what they are."""
    rows = [("file " + name, tally) for name, tally in bits.by_file().items()] if len(bits.by_file()) > 1 else []
    rows += [("domain " + name, tally) for name, tally in bits.by_domain().items()]
    rows.append(("total", bits.total))
    names = [name for name in _MEANING if bits.view == "raw" or name != _ALONE]
    width = max(len(name) for name, _ in rows)
    head = "".join(f"  {name:>{max(7, len(name))}}" for name in names)
    lines = [f"{'':<{width}}  {'documents':>9}  {'bytes':>12}{head}  {'next id right':>13}"]
    for row, tally in rows:
        told = figures(tally, bits.view)
        shown = "".join(f"  {_four_digits(told[name]):>{max(7, len(name))}}" for name in names)
        lines.append(
            f"{row:<{width}}  {tally.documents:>9,}  {tally.source_bytes:>12,}{shown}  {told['accuracy'] or 0.0:>13.1%}"
        )
    return "\n".join([*lines, "", *(f"{name}: {_MEANING[name].format(bits.view)}" for name in names)])


def _four_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
