"""Compressors by name: the built-in ones and those of installed packages (entry points)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from ..common import extras
from ..common.usage import did_you_mean
from ..errors import CompressorError
from .base import Compressor

ENTRY_POINT_GROUP: Final = "megatron_proxy.compressors"

# Modules are imported on first use: one compressor must not need another's packages.
_BUILT_IN: Final[dict[str, str]] = {
    "bit": "controls.regroup:BitCompressor",
    "doublebit": "controls.regroup:DoubleBitCompressor",
    "doublebyte": "controls.regroup:DoubleByteCompressor",
    "gzip": "controls.gzip:GzipCompressor",
    "halfbyte": "controls.regroup:HalfByteCompressor",
    "hf": "tokenizers.hf:HfCompressor",
    "identity": "controls.regroup:IdentityCompressor",
    "imported": "imported:ImportedCompressor",
    "neural": "strings.neural:NeuralCompressor",
    "neural-ac": "byte_lm.neural_ac:NeuralAcCompressor",
    "sentencepiece": "tokenizers.sentencepiece:SentencePieceCompressor",
    "tiktoken": "tokenizers.tiktoken:TiktokenCompressor",
    "trie": "strings.trie:TrieCompressor",
    "zstd": "zstd.compressor:ZstdCompressor",
}


@cache
def _registry() -> dict[str, str]:
    """Name → ``module:class`` of every known compressor; a built-in name cannot be taken over."""
    found = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return found | {name: f"{__name__}.{value}" for name, value in _BUILT_IN.items()}


def names() -> list[str]:
    """The names of all known compressors, sorted."""
    return sorted(_registry())


def get(name: str) -> type[Compressor]:
    """The class of the compressor called ``name``.

    Raises
    ------
    CompressorError
        For an unknown name (with the known ones), or one whose package cannot be imported.
    """
    if name not in _registry():
        hint = did_you_mean(name, names())
        raise CompressorError(f"no compressor is called {name!r}; {hint}known: {', '.join(names())}")
    module, _, attribute = _registry()[name].partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise CompressorError(
            f"compressor {name!r} cannot be loaded from {module}: {error}",
            fix=(isinstance(error, ImportError) and extras.advice(error)) or "install the package that is missing",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Compressor)):
        raise CompressorError(f"{module}:{attribute} is not a Compressor", where=f"entry point {name!r}")
    return found


def load(
    name: str, config: Mapping[str, Any], files: Mapping[str, bytes], described_in: str | None = None
) -> Compressor:
    """The compressor that a manifest describes.

    Raises
    ------
    CompressorError
        What cannot be restored; where that does not name its file, it names ``described_in``.
    """
    kind = get(name)
    try:
        return kind.from_config(config, files)
    except CompressorError as error:
        raise CompressorError(error.what, where=error.where or described_in, fix=error.fix) from error


__all__ = ["ENTRY_POINT_GROUP", "Compressor", "get", "load", "names"]
