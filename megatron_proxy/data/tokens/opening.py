"""A tokenized corpus as users name it, looked at before anything is read as a whole: files, ids, and the tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...compressors import Compressor
from ...compressors.tokenizers.tokens import TokenCompressor
from ...errors import ConfigurationError, CorpusError
from .corpus import TokenCorpus, TokenSource
from .documents import Rules, documents_of
from .prefix import TokenPrefix
from .tokenizer import FLAG, Tokenizer, find

INPUT_FLAG: Final = "--input-tokens"
_LOOKED_AT: Final = 1 << 14
# Of its own ids a tokenizer makes all again, but for some where texts were cut; tokenizers of the same size made up to
# 85 % of each other's, whose text is words in disorder (1,000 to 8,000 tokens, trained on prose and on code).
_LEAST_ALIKE: Final = 0.9


def open_tokens(
    prefixes: Sequence[str],
    tokenizer: str | None,
    options: Mapping[str, Mapping[str, Any]],
    *,
    eod: int | None,
    drop: bool,
) -> tuple[TokenCorpus, Compressor]:
    """A tokenized corpus, and the compressor that its tokenizer is.

    Parameters
    ----------
    prefixes
        The paths of ``.bin`` and ``.idx``, with or without the ending.
    tokenizer
        The tokenizer's file.
    options
        Options of compressors that were given, by name.
    eod
        The id that ends documents; None finds it: the first document's last id, if that stands for no bytes.
    drop
        Whether other ids that stand for no bytes are dropped instead of being refused.

    Raises
    ------
    CorpusError
        A file that is missing or damaged, or ids that another tokenizer has made.
    ConfigurationError
        Flags that do not go together.
    """
    if tokenizer is None:
        raise ConfigurationError("the tokenizer that made the ids is needed", where=FLAG, fix=f"{FLAG} tokenizer.json")
    found, compressor = find(tokenizer, options)
    paths = [prefix.removesuffix(".bin").removesuffix(".idx") for prefix in prefixes]
    for path in paths:
        if paths.count(path) > 1:
            raise CorpusError(f"{path!r} is named {paths.count(path)} times", where=INPUT_FLAG, fix="name each once")
    opened = [TokenPrefix(path) for path in paths]
    for prefix in opened:
        prefix.check()
    if eod is None:
        eod = next((id_ for prefix in opened if (id_ := _eod_of(prefix, found.compressor())) is not None), None)
    rules = Rules(eod, drop)
    for prefix in opened:
        _check_tokenizer(prefix, found, rules)
    sources = [TokenSource(f"{prefix.path}.bin", prefix.size, found, rules) for prefix in opened]
    return TokenCorpus(sources), compressor


def _eod_of(prefix: TokenPrefix, compressor: TokenCompressor) -> int | None:
    """The last id of the first document that has any, if it stands for no bytes."""
    for document in range(prefix.documents):
        if prefix.offset(document) == prefix.offset(document + 1):
            continue
        last = int(prefix.ids(document, document + 1)[0][-1])
        known = 0 <= last < len(compressor.bytes_per_id)
        empty = not known or compressor.bytes_per_id[last] == 0
        return last if empty else None
    return None


def _check_tokenizer(prefix: TokenPrefix, tokenizer: Tokenizer, rules: Rules) -> None:
    """Refuse a tokenizer that encodes the text of the first ids in another way."""
    ids, ends = prefix.first_ids(_LOOKED_AT)
    compressor = tokenizer.compressor()
    # Special tokens are told with their document when that is read; ids that there are not, now.
    passed_over = Rules(rules.eod, drop=True)
    documents_of(ids, ends, compressor, passed_over, lambda number: f"{prefix.path}, sequence {number + 1:,}")
    alike = total = begin = 0
    for end in ends.tolist():
        own = ids[begin:end][ids[begin:end] != rules.eod]
        codes = compressor.strings.spoken(compressor.code_of_id[own])
        again = compressor.strings.spoken(compressor.codes_of_text(_text_of(codes, compressor)))
        alike += len(np.intersect1d(_placed(codes, compressor), _placed(again, compressor), assume_unique=True))
        total += max(len(codes), len(again))
        begin = end
    if alike < _LEAST_ALIKE * total:
        raise CorpusError(
            f"{tokenizer.path} makes {alike / total:.0%} of these ids of the text that they stand for: "
            "they are of another tokenizer, or of one whose tokens are not the text's own",
            where=prefix.path,
            fix=f"{FLAG}: name the one that made the ids",
        )


def _text_of(codes: NDArray[np.int32], compressor: TokenCompressor) -> str:
    """The text that a tokenizer was given, as far as its tokens tell."""
    text = compressor.strings.bytes_of(codes).decode("utf-8", "replace")
    return text.removeprefix(" ") if compressor.puts_space else text


def _placed(codes: NDArray[np.int32], compressor: TokenCompressor) -> NDArray[np.int64]:
    """Each code with where it ends in the text that the tokenizer was given, as one number."""
    put = compressor.puts_space and compressor.strings.bytes_of(codes[:1]).startswith(b" ")
    placed: NDArray[np.int64] = (np.cumsum(compressor.strings.sizes_of(codes)) - put) << 25 | codes
    return placed
