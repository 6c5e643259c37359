"""One line of JSONL: its documents, or the reason why it holds none. The rules are told in :mod:`.files`."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

MAX_DOCUMENT_BYTES: Final = 2**31 - 1

_SURROGATES: Final = "megatron_proxy_surrogates"
_KINDS: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


class Lack(NamedTuple):
    """A key that a line lacks, and that of its longest string, which may be meant if no other one is asked for."""

    key: str
    instead: str | None


class BadLine(Exception):  # noqa: N818 - counted as often as it is an error
    """Why a line holds no document; ``lack`` is the key that it lacks, if that is why."""

    def __init__(self, reason: str, lack: Lack | None = None) -> None:
        super().__init__(reason)
        self.lack = lack


def parse_line(line: bytes, keys: Sequence[str]) -> list[bytes]:
    """The documents of one line, one per key, none for a blank line; a :class:`BadLine` says why there are none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        if not line.strip():
            return []
        record = _parse_slowly(line)
    if not isinstance(record, dict):
        raise BadLine(f"the line is {_kind(record)}, not a JSON object")
    return [_document(record, key, keys) for key in keys]


def _parse_slowly(line: bytes) -> Any:
    """By Python's parser, which takes lone surrogates (and NaN), and tells better what is wrong."""
    try:
        return json.loads(line.decode().rstrip())
    except UnicodeDecodeError as error:
        raise BadLine(f"the line is not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})") from error
    except json.JSONDecodeError as error:
        raise BadLine(f"the line is not JSON ({error.msg}, column {error.colno})") from error
    except RecursionError as error:
        raise BadLine("the line is JSON nested too deeply") from error
    except ValueError as error:
        raise BadLine(f"the line is not JSON ({error})") from error


def _find(record: dict[str, Any], key: str) -> Any:
    """What is under a key, or under ``outer.inner`` in the record under ``outer`` if no key has that very name."""
    if key in record or "." not in key:
        return record[key]
    outer, _, inner = key.partition(".")
    within = record[outer]
    if not isinstance(within, dict):
        raise KeyError(key)
    return _find(within, inner)


def _document(record: dict[str, Any], key: str, keys: Sequence[str]) -> bytes:
    try:
        text = _find(record, key)
    except KeyError:
        shown = ", ".join(repr(name) for name in list(record)[:8]) or "none"
        strings = {name: len(value) for name, value in record.items() if isinstance(value, str) and name not in keys}
        lack = Lack(key, max(strings, key=strings.__getitem__, default=None))
        raise BadLine(f"the line lacks the key {key!r} (its keys: {shown})", lack) from None
    if not isinstance(text, str):
        raise BadLine(f"the value of {key!r} is {_kind(text)}, not a string")
    try:
        document = text.encode()
    except UnicodeEncodeError:
        document = text.encode("utf-8", _SURROGATES)
    if len(document) > MAX_DOCUMENT_BYTES:
        raise BadLine(too_long(len(document)))
    return document


def too_long(size: int) -> str:
    """Why a document of so many bytes is a bad one."""
    return f"the document has {size:,} bytes, more than an index can hold (2 GiB)"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")


def _encode_surrogates(error: UnicodeError) -> tuple[bytes, int]:
    """Error handler: a lone surrogate that stands for a byte becomes that byte, another one its own three bytes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lone = error.object[error.start : error.end]
    parts = [
        bytes([ord(character) - 0xDC00])
        if "\udc80" <= character <= "\udcff"
        else character.encode("utf-8", "surrogatepass")
        for character in lone
    ]
    return b"".join(parts), error.end


codecs.register_error(_SURROGATES, _encode_surrogates)
