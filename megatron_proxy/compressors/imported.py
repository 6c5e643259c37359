"""A compressed view that another tool has made: its codes are taken as they are, and it cannot make or undo any.

``megatron-proxy import-reference`` makes such views; see :mod:`megatron_proxy.data.reference.codes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn, Self, override

from numpy.typing import NDArray

from ..errors import CompressorError
from ..vocab import NUM_BYTES
from .base import Compressor, Corpus
from .options import MADE, Options, Setting

_FIX: Final = "megatron-proxy import-reference --input CORPUS.jsonl --output-prefix PREFIX --compressed-key KEY"


@dataclass(frozen=True)
class ImportedOptions(Options):
    """What :class:`ImportedCompressor` is made of; views of early releases do not tell the window."""

    bits: Annotated[int | None, Setting(low=1, high=24, stored=True)] = None
    window_bits: Annotated[int, Setting(low=1, high=64, stored=True)] = 16
    key: Annotated[str, MADE] = ""


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
        return cls(**ImportedOptions.restored({"window_bits": ImportedOptions.window_bits, **config}).stored())

    @override
    def config(self) -> dict[str, Any]:
        return ImportedOptions(self.bits, self.window_bits, self.key).stored()

    @property
    @override
    def num_symbols(self) -> int:
        return NUM_BYTES if self.bits is None else 1 << self.bits

    @override
    def encode(self, document: bytes) -> NoReturn:
        raise CompressorError("an imported view's compressor is not here: it cannot encode", fix=_FIX)

    @override
    def decode(self, codes: NDArray[Any]) -> NoReturn:
        raise CompressorError("an imported view's compressor is not here: it cannot decode", fix=_FIX)
