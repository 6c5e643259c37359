"""``lookup``: what followed the last bytes where they stood before.

Prompt lookup (github.com/apoorvumang/prompt-lookup-decoding), in bytes: code and prose repeat names, phrases and
indentation. It knows nothing but the text and costs next to nothing.
"""

from __future__ import annotations

from typing import Final

_ENDS: Final = (32, 16, 12, 8, 6, 5, 4)
"""How many last bytes are looked for, longest first: the longer they are, the surer is what follows them."""


class Lookup:
    """Bytes copied from where the text's end stands in it once more, the last such place.

    Parameters
    ----------
    least
        The fewest last bytes that are looked for.
    """

    def __init__(self, least: int = _ENDS[-1]) -> None:
        self._ends = [size for size in _ENDS if size >= least]

    def propose(self, context: bytes, most: int) -> bytes:
        """What may follow ``context``: see :class:`megatron_proxy.model.generation.drafts.Draft`."""
        for size in self._ends:
            if size < len(context) and (at := context.rfind(context[-size:], 0, -1)) >= 0:
                # A place that overlaps the end is a repetition, which goes on.
                period = context[at + size :]
                return (period * -(-most // len(period)))[:most]
        return b""
