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

from ...compressors.tokenizers.tokens import TokenCompressor
from ...errors import CorpusError

END_OF_DOCUMENT: Final = "end of document"
SPECIAL: Final = "special"
_SPACE: Final = ord(" ")


@dataclass(frozen=True)
class Rules:
    """What is done with ids that stand for no bytes.

    Parameters
    ----------
    eod
        The id that ends documents; None if none does.
    drop
        Whether other ones are dropped instead of being refused.
    """

    eod: int | None
    drop: bool = False


@dataclass(frozen=True)
class Documents:
    """Some documents: their codes and bytes one after the other, and where those of each document end.

    ``codes`` are int32, ``ends`` int64 of shape (documents, 2): codes, bytes. ``left_out`` counts ids that are in none.
    """

    codes: NDArray[np.int32]
    text: NDArray[np.uint8]
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
    closing = _closing(ids, ends, rules.eod)
    table = np.append(compressor.sizes_of(compressor.code_of_id), -1)
    sizes = table[np.where((ids < 0) | (ids >= len(table)), len(table) - 1, ids)]
    sizes[closing] = 0
    if (wrong := sizes < 0).any():
        raise _bad(
            int(np.argmax(wrong)), ids, ends, where, f"is none of the tokenizer's {len(compressor.code_of_id):,}",
            "--tokenizer: name the one that made the ids",
        )  # fmt: skip
    empty = sizes == 0
    special = int(np.count_nonzero(empty)) - len(closing)
    if special and not rules.drop:
        empty[closing] = False
        raise _bad(
            int(np.argmax(empty)), ids, ends, where, "is a special token: it stands for no bytes",
            "drop such ids, --special-tokens drop; if it ends documents, name it: --eod-id",
        )  # fmt: skip
    if special or len(closing):
        kept = ~empty
        ends = np.concatenate([[0], np.cumsum(kept)])[ends]
        ids, sizes = ids[kept], sizes[kept]
    left_out = {END_OF_DOCUMENT: len(closing), SPECIAL: special}
    codes = compressor.code_of_id[ids]
    text = np.frombuffer(compressor.decode(codes), dtype=np.uint8)
    both = np.stack([ends, np.concatenate([[0], np.cumsum(sizes)])[ends]], axis=1)
    found = Documents(codes, text, both, {name: count for name, count in left_out.items() if count})
    return _without_spaces(found, sizes) if compressor.puts_space else found


def _closing(ids: NDArray[Any], ends: NDArray[np.int64], eod: int | None) -> NDArray[np.int64]:
    """Where the ids are that end documents."""
    lengths = np.diff(ends, prepend=0)
    last = ends[lengths > 0] - 1
    return last[ids[last] == eod] if eod is not None else last[:0]


def _bad(
    at: int, ids: NDArray[Any], ends: NDArray[np.int64], where: Callable[[int], str], what: str, fix: str
) -> CorpusError:
    document = int(np.searchsorted(ends, at, side="right"))
    begin = int(ends[document - 1]) if document else 0
    return CorpusError(f"the id {ids[at]} {what}", where=f"{where(document)}, id {at - begin + 1:,}", fix=fix)


def _without_spaces(found: Documents, sizes: NDArray[np.int64]) -> Documents:
    """The same without the space that begins a document; ``sizes`` are the bytes of each code."""
    begins = np.concatenate([np.zeros((1, 2), dtype=np.int64), found.ends[:-1]])
    spaced = found.ends[:, 1] > begins[:, 1]
    spaced[spaced] = found.text[begins[spaced, 1]] == _SPACE
    codes, at = [], 0
    lengths = found.ends - begins
    lengths[:, 1] -= spaced
    for document in np.flatnonzero(spaced).tolist():
        code, byte = begins[document].tolist()
        rest = found.text[byte + 1 : byte + sizes[code]]
        codes += [found.codes[at:code], rest.astype(np.int32)]
        lengths[document, 0] += len(rest) - 1
        at = code + 1
    text = np.delete(found.text, begins[spaced, 1])
    return Documents(np.concatenate([*codes, found.codes[at:]]), text, np.cumsum(lengths, axis=0), found.left_out)
