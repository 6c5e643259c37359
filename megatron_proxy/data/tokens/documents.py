"""From the ids of a tokenized corpus to the codes and the bytes of its documents.

Codes are those of the tokenizer's compressor: byte pieces are literals, and other ids keep their order. What stands for
no bytes is no part of a document: the id that ends it is taken off, others are refused or dropped. A tokenizer that
puts a space before every text (as SentencePiece does by default) has it taken off again: the rest of that first token
becomes literals, as it does where a view is prepared from the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...compressors.tokenizers.token_strings import literals
from ...compressors.tokenizers.tokens import TokenCompressor
from ...errors import CorpusError

END_OF_DOCUMENT: Final = "end of document"
SPECIAL: Final = "special"
_NO_ID: Final = -1


@dataclass(frozen=True)
class Rules:
    """What is done with ids that stand for no bytes: ``eod`` (or None) ends documents, others may be dropped."""

    eod: int | None
    drop: bool = False


@dataclass(frozen=True)
class Documents:
    """Some documents: their codes and bytes one after the other, and where those of each document end.

    ``codes`` are int32, ``ends`` int64 of shape (documents, 2): codes, bytes. ``left_out`` counts ids that are in none.
    """

    codes: NDArray[np.int32]
    text: bytes
    ends: NDArray[np.int64]
    left_out: Mapping[str, int]


def documents_of(
    ids: NDArray[Any],
    ends: NDArray[np.int64],
    compressor: TokenCompressor,
    rules: Rules,
    where: Callable[[int], str],
) -> Documents:
    """The documents whose ids end at ``ends``; ``where`` names the place of one of them, from 0.

    Raises
    ------
    CorpusError
        For an id that the tokenizer has not, or a special one that may not be dropped, with its place.
    """
    if ids.dtype.itemsize > 4:
        ids = ids.astype(np.int64)
    codes = np.empty(len(ids), dtype=np.int32)
    both = np.empty((len(ends), 2), dtype=np.int64)
    sizes = compressor.bytes_per_id
    eod = _NO_ID if rules.eod is None else rules.eod
    count, closing, first = _lay_out(ids, ends, compressor.code_of_id, sizes, eod, codes, both)
    if first >= 0 and not 0 <= ids[first] < len(sizes):
        raise _bad(
            first, ids, ends, where, f"is none of the tokenizer's {len(sizes):,}",
            "--tokenizer: name the one that made the ids",
        )  # fmt: skip
    if first >= 0 and not rules.drop:
        raise _bad(
            first, ids, ends, where, "is a special token: it stands for no bytes",
            "drop such ids, --special-tokens drop; if it ends documents, name it: --eod-id",
        )  # fmt: skip
    left_out = {END_OF_DOCUMENT: closing, SPECIAL: len(ids) - count - closing}
    left_out = {name: number for name, number in left_out.items() if number}
    codes = codes[:count]
    if compressor.puts_space:
        codes, both = _without_spaces(codes, both, compressor)
    return Documents(codes, compressor.strings.bytes_of(codes), both, left_out)


@jit
def _lay_out(
    ids: NDArray[Any],
    ends: NDArray[np.int64],
    code_of_id: NDArray[np.int32],
    sizes: NDArray[np.int64],
    eod: int,
    codes: NDArray[np.int32],
    both: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Fill ``codes``, and ``both`` with the ends of documents in codes and in bytes.

    Returns how many codes there are, how many ids end documents, and where the first special id is: an id that the
    tokenizer has not, as soon as there is one, and -1 if there is neither.
    """
    count = size = closing = begin = 0
    first = -1
    for document in range(len(ends)):
        for at in range(begin, ends[document]):
            id_ = ids[at]
            if id_ == eod and at == ends[document] - 1:
                closing += 1
            elif id_ < 0 or id_ >= len(sizes):
                return count, closing, at
            elif sizes[id_] == 0:
                first = at if first < 0 else first
            else:
                codes[count] = code_of_id[id_]
                size += sizes[id_]
                count += 1
        begin = ends[document]
        both[document, 0], both[document, 1] = count, size
    return count, closing, first


def _bad(
    at: int, ids: NDArray[Any], ends: NDArray[np.int64], where: Callable[[int], str], what: str, fix: str
) -> CorpusError:
    document = int(np.searchsorted(ends, at, side="right"))
    begin = int(ends[document - 1]) if document else 0
    return CorpusError(f"the id {ids[at]} {what}", where=f"{where(document)}, id {at - begin + 1:,}", fix=fix)


def _without_spaces(
    codes: NDArray[np.int32], both: NDArray[np.int64], compressor: TokenCompressor
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The same without the space that begins a document: the rest of its first token is literals."""
    lengths = np.diff(both, axis=0, prepend=0)
    parts, at = [], 0
    for document in np.flatnonzero(lengths[:, 0]).tolist():
        begin = int(both[document, 0] - lengths[document, 0])
        first = compressor.strings.bytes_of(codes[begin : begin + 1])
        if not first.startswith(b" "):
            continue
        parts += [codes[at:begin], literals(first[1:])]
        lengths[document] += len(first) - 2, -1
        at = begin + 1
    return np.concatenate([*parts, codes[at:]]), np.cumsum(lengths, axis=0)
