"""JSON that people read: letters stay letters, whatever the alphabet.

Only what the encoding has no letters for is escaped, the way JSON does it: lone surrogates, which stand for bytes that
are no UTF-8, always; everything beyond ASCII on a terminal that knows ASCII alone. Read back, it is the same.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, Final

_ESCAPING: Final = "megatron_proxy.common.readable_json"


def text(content: Any, *, indent: int | None = None, encoding: str = "utf-8") -> str:
    """The JSON of some content that ``encoding`` can hold; in one line, or indented."""
    plain = json.dumps(content, ensure_ascii=False, indent=indent)
    return plain.encode(encoding, _ESCAPING).decode(encoding)


def file(content: Any) -> bytes:
    """The content of a JSON file: UTF-8, indented, with a line end."""
    return (text(content, indent=2) + "\n").encode()


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What stands in a JSON string for letters that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPING, _escaped)
