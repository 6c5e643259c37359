"""The tokenizer that Megatron sees: its ids are those of :mod:`megatron_proxy.vocab`, its text is the raw view."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from megatron.core.tokenizers.base_tokenizer import MegatronTokenizerBase

from .. import vocab
from ..vocab import Vocabulary


class ProxyTokenizer(MegatronTokenizerBase):  # type: ignore[misc]
    """Raw bytes as ids, plus the ids of the sentinels and of the compressed symbols.

    Parameters
    ----------
    compressor
        Name of the compressor.
    vocabulary
        The ids of the run.
    fingerprints
        Fingerprints of the compressors that made the views of the run: part of every index cache's key.
    """

    library = "megatron-proxy"

    def __init__(self, compressor: str, vocabulary: Vocabulary, fingerprints: Iterable[str]) -> None:
        super().__init__(path=compressor, config={})
        self.compressor = compressor
        self.vocabulary = vocabulary
        self.fingerprints = tuple(sorted(set(fingerprints)))

    @property
    def vocab_size(self) -> int:
        """Number of ids, before Megatron's padding."""
        return self.vocabulary.size

    @property
    def vocab(self) -> dict[str, int]:
        """Readable name of every id → id."""
        return {vocab.name(id_): id_ for id_ in range(self.vocab_size)}

    @property
    def inv_vocab(self) -> dict[int, str]:
        """Id → readable name."""
        return {id_: vocab.name(id_) for id_ in range(self.vocab_size)}

    @property
    def unique_identifiers(self) -> OrderedDict[str, Any]:
        """What Megatron puts into the key of its index caches (JSON-able)."""
        return OrderedDict(
            {
                "class": f"{type(self).__module__}.{type(self).__qualname__}",
                "compressor": self.compressor,
                "fingerprints": list(self.fingerprints),
                "num_symbols": self.vocabulary.num_symbols,
                "literals": self.vocabulary.literals,
            }
        )

    @property
    def special_tokens_dict(self) -> dict[str, int]:
        """The ordinary specials: Megatron checks that the pad is none of the others."""
        return {
            "pad_token": vocab.PAD,
            "bos_token": vocab.BOS,
            "eos_token": vocab.EOS,
            "unk_token": vocab.UNK,
            "sep_token": vocab.SEP,
        }

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The format sentinels."""
        return [vocab.RAW_OPEN, vocab.RAW_CLOSE, vocab.COMPRESSED_OPEN, vocab.COMPRESSED_CLOSE]

    pad = pad_id = property(lambda self: vocab.PAD, doc="The padding id, which no view holds.")
    bos = bos_id = property(lambda self: vocab.BOS, doc="Unused by the data path.")
    eos = eos_id = eod = property(lambda self: vocab.EOS, doc="The end of a document.")
    unk = unk_id = property(lambda self: vocab.UNK, doc="Unused: every byte has an id.")
    sep = sep_id = property(lambda self: vocab.SEP, doc="Unused by the data path.")

    def tokenize(self, text: str | bytes) -> list[int]:
        """Ids of the text's UTF-8 bytes (lone surrogates as the bytes they stand for), without sentinels."""
        document = text.encode("utf-8", errors="surrogateescape") if isinstance(text, str) else text
        ids: list[int] = vocab.raw_ids(document).tolist()
        return ids

    def detokenize(self, ids: Sequence[int], skip_special_tokens: bool | None = None) -> str:
        """The text of the bytes among ``ids``, U+FFFD for what is no UTF-8; symbols and specials have no text here."""
        return vocab.decode(ids).decode("utf-8", errors="replace")

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> str:
        """There is no chat template."""
        raise NotImplementedError("the tokenizer of megatron_proxy has no chat template")
