"""What a SentencePiece .model says of itself, read off its protocol buffer (sentencepiece_model.proto).

The sentencepiece package tells pieces but not settings, and its own reader of the settings needs the protobuf package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...errors import CompressorError

_BPE: Final = 2

# Field numbers of ModelProto, TrainerSpec and NormalizerSpec.
_TRAINER, _NORMALIZER = 2, 3
_MODEL_TYPE, _SPACE_AS_SUFFIX = 3, 24
_CHARACTER_MAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES = 2, 3, 4, 5


@dataclass(frozen=True)
class ModelSettings:
    """The settings that decide whether a text comes back as it was, and whether words are independent.

    ``identity`` tells whether a text is encoded as it is.
    """

    bpe: bool
    identity: bool
    dummy_prefix: bool
    escapes_spaces: bool


def read_settings(model: bytes) -> ModelSettings:
    """The settings of a .model file's content.

    Raises
    ------
    CompressorError
        If it is not one.
    """
    specs: dict[int, dict[int, int | bytes]] = {_TRAINER: {}, _NORMALIZER: {}}
    for number, value in _fields(model):
        if number in specs and isinstance(value, bytes):
            specs[number] |= dict(_fields(value))
    trainer, normalizer = specs[_TRAINER], specs[_NORMALIZER]
    dummy_prefix = bool(normalizer.get(_DUMMY_PREFIX, True))
    changes = (normalizer.get(_CHARACTER_MAP), normalizer.get(_REMOVE_SPACES, True), trainer.get(_SPACE_AS_SUFFIX))
    return ModelSettings(
        bpe=trainer.get(_MODEL_TYPE) == _BPE,
        identity=not (dummy_prefix or any(changes)),
        dummy_prefix=dummy_prefix,
        escapes_spaces=bool(normalizer.get(_ESCAPE_SPACES, True)),
    )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message; numbers as int, everything else as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise CompressorError(f"this is not a SentencePiece model: wire type {kind} at byte {at}")
        size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + size > len(message):
            raise CompressorError("this SentencePiece model is truncated")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and where it ends."""
    value = 0
    for i in range(10):
        if at + i >= len(message):
            break
        value |= (message[at + i] & 0x7F) << (7 * i)
        if message[at + i] < 0x80:
            return value, at + i + 1
    raise CompressorError(f"this is not a SentencePiece model: no number at byte {at}")
