"""The contract of a compressor.

A compressor turns the bytes of one document into *codes* and back. Codes are what is stored on disk; how they become
ids is :class:`megatron_proxy.vocab.Vocabulary`'s business. With ``literals`` a code below 256 is a literal byte and
code ``256 + s`` is symbol ``s``; without, code ``s`` is symbol ``s``.

What every compressor promises:

* ``decode(encode(x)) == x`` for every byte string, the empty one and invalid UTF-8 included. One that cannot promise it
  sets ``lossless = False``, and the manifest says so.
* Same bytes, same codes, on every machine, in every process and every run.
* ``decode`` of what is no stream of its codes raises :class:`~megatron_proxy.errors.CompressorError`; it neither
  crashes nor loops, and takes memory in proportion to what it was given. A format that has several encodings of the
  same bytes (zstd and gzip find matches as they like) decodes all of them, so that a view outlives its library.
* ``from_config(config(), files())`` is the same compressor again.

One class per file; third parties register theirs under the entry-point group ``megatron_proxy.compressors``.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..vocab import NUM_BYTES, Vocabulary

Corpus = Callable[[], Iterator[bytes]]
"""Opens the corpus from its beginning: each call gives a new iterator over the documents' bytes."""


@dataclass(frozen=True)
class Option:
    """One setting of a compressor; the command line offers it as ``--<compressor>-<name>``."""

    name: str
    type: type
    default: Any
    help: str
    choices: Sequence[Any] | None = None


@dataclass(frozen=True)
class Encoded:
    """The compressed view of one document, with its spans.

    A span is a stretch that was encoded on its own, so that ``decode`` of its codes alone gives its bytes.

    Parameters
    ----------
    codes
        1-D array of the dtype ``Vocabulary.code_dtype``.
    byte_ends
        int64, shape (spans,): where each span ends in the document, in bytes, rising to the document's length.
    code_ends
        int64, shape (spans,): where each span ends in ``codes``, rising to ``len(codes)``.
    """

    codes: NDArray[Any]
    byte_ends: NDArray[np.int64]
    code_ends: NDArray[np.int64]

    @classmethod
    def as_a_whole(cls, codes: NDArray[Any], document: bytes) -> Self:
        """A document that is one span; none if it is empty."""
        count = 1 if document else 0
        return cls(codes, np.full(count, len(document), dtype=np.int64), np.full(count, len(codes), dtype=np.int64))


class Compressor(ABC):
    """Bytes to codes and back. See the module's docstring for what is promised."""

    name: ClassVar[str]
    """The name in flags, file names and manifests."""

    options: ClassVar[tuple[Option, ...]] = ()
    """What can be set when a view is prepared."""

    lossless: ClassVar[bool] = True
    """Whether decode(encode(x)) == x for every x."""

    decodes: ClassVar[bool] = True
    """Whether it can decode at all; False for what stands for a compressor that is not here."""

    learns_quickly: ClassVar[bool] = True
    """Whether learning from a few megabytes takes seconds, if it learns at all."""

    # The following may depend on an instance's settings: ask the instance, not the class.

    literals: bool = False
    """Whether codes below 256 are literal bytes."""

    spans: bool = False
    """Whether a document is encoded in independent spans (what the mode ``interleaved`` needs)."""

    control: bool = False
    """Whether it is there for comparison: it does not compress, or nothing learnt from its codes serves raw bytes."""

    no_spans_because: str = "it encodes a document as a whole"
    """Why not, when ``spans`` is False; shown to users who ask for ``interleaved``."""

    @classmethod
    def all_options(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """A value for each of :attr:`options`: what is given, else its default."""
        return {option.name: option.default for option in cls.options} | dict(given)

    @classmethod
    @abstractmethod
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        """Make a compressor from its options; one that has something to learn learns it from ``corpus``.

        ``options`` holds a value for every :attr:`options` name. Must be deterministic in both arguments. Options, and
        what they need (files, packages, a device), are checked before ``corpus`` is called: ``prepare`` first builds
        with a corpus that cannot be opened, to find mistakes before it reads one, and whether there is something to
        learn. Files may be read then, but nothing else may change outside.

        Raises
        ------
        CompressorError
            An option out of range, or a file that cannot be read.
        """

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """The inverse of :meth:`config` and :meth:`files`.

        Raises
        ------
        CompressorError
            A config or a file that this version cannot read.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The settings, JSON-able; together with :meth:`files` they determine every code."""

    def files(self) -> dict[str, bytes]:
        """The files it needs, by suffix, such as ``{"dictionary.zdict": …}``; none by default."""
        return {}

    @property
    @abstractmethod
    def num_symbols(self) -> int:
        """Number of symbols, literal bytes not counted."""

    @abstractmethod
    def encode(self, document: bytes) -> NDArray[Any]:
        """The codes of a document: 1-D, dtype ``self.vocabulary.code_dtype``."""

    @abstractmethod
    def decode(self, codes: NDArray[Any]) -> bytes:
        """The bytes that ``codes`` stand for.

        Raises
        ------
        CompressorError
            If ``codes`` are not a stream as :meth:`encode` makes them.
        """

    def encode_spans(self, document: bytes) -> Encoded:
        """The codes of a document with the borders of its spans.

        ``encode_spans(x).codes`` equals ``encode(x)``. Without ``spans`` the document is one span (none if empty).
        """
        return Encoded.as_a_whole(self.encode(document), document)

    def encode_each(self, documents: Iterable[bytes]) -> Iterator[Encoded]:
        """What :meth:`encode_spans` gives for each document, in order.

        A compressor that is faster with many small documents at once does something else than this.
        """
        return map(self.encode_spans, documents)

    def symbol_bytes(self) -> NDArray[np.int32] | None:
        """Source bytes that each symbol stands for (int32, shape (symbols,)); None where it depends on context."""
        return None

    def __reduce__(self) -> tuple[object, ...]:
        # What is sent to workers is what is stored; contexts of libraries stay in their process.
        return type(self).from_config, (self.config(), self.files())

    @property
    def vocabulary(self) -> Vocabulary:
        """The ids of a run with this compressor."""
        return Vocabulary(self.num_symbols, self.literals)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over name, config and files: equal fingerprints give equal codes."""
        digest = hashlib.sha256(json.dumps([self.name, self.config()], sort_keys=True).encode())
        for suffix, content in sorted(self.files().items()):
            digest.update(json.dumps([suffix, hashlib.sha256(content).hexdigest()]).encode())
        return digest.hexdigest()


def literal_codes(document: bytes) -> NDArray[np.uint8]:
    """Every byte as a literal code (uint8, a read-only view of ``document``)."""
    return np.frombuffer(document, dtype=np.uint8, count=len(document))


__all__ = ["NUM_BYTES", "Compressor", "Corpus", "Encoded", "Option", "literal_codes"]
