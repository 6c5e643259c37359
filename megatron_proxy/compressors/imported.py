"""A compressed view that another tool has made: its codes are taken as they are, and it cannot make or undo any.

``megatron-proxy import-reference`` makes such views; see :mod:`megatron_proxy.data.reference.codes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, Self, override

from numpy.typing import NDArray

from ..errors import CompressorError
from ..vocab import NUM_BYTES
from . import checks
from .base import Compressor, Corpus

MAX_BITS: Final = 24

_FIX: Final = "megatron-proxy import-reference --input CORPUS.jsonl --output-prefix PREFIX --compressed-key KEY"


class ImportedCompressor(Compressor):
    """Stands for the tool that made an imported view.

    Parameters
    ----------
    bits
        Bits per symbol; None for the reference's bytes, unpacked.
    window_bits
        Bits of code per window of the tool's arithmetic coder.
    key
        The JSON key that the codes came from.
    """

    name = "imported"
    lossless = False
    decodes = False
    literals = True
    no_spans_because = "it was imported, and where its spans end is not known"

    def __init__(self, bits: int | None, window_bits: int, key: str) -> None:
        self.bits = bits
        self.window_bits = window_bits
        self.key = key

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        raise CompressorError("an imported view cannot be made from text", fix=_FIX)

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        packed = config.get("bits") is not None
        return cls(
            checks.option(config, cls.name, "bits", 1, MAX_BITS) if packed else None,
            checks.option(config, cls.name, "window_bits", 1, 64) if "window_bits" in config else 16,
            checks.entry(config, "key", str),
        )

    @override
    def config(self) -> dict[str, Any]:
        return {"bits": self.bits, "window_bits": self.window_bits, "key": self.key}

    @property
    @override
    def vocab_size(self) -> int:
        return NUM_BYTES if self.bits is None else 1 << self.bits

    @override
    def encode(self, document: bytes) -> NoReturn:
        raise CompressorError("an imported view's compressor is not here: it cannot encode", fix=_FIX)

    @override
    def decode(self, codes: NDArray[Any]) -> NoReturn:
        raise CompressorError("an imported view's compressor is not here: it cannot decode", fix=_FIX)
