"""Messages between processes of ours, whose large byte strings travel beside the pickle instead of in it.

Within a pickle they are copied four times more than they must be: into it, out of the socket in pieces, together, and
out of it. Where one process takes in what many make, that is most of its work.
"""

from __future__ import annotations

import io
import pickle
import socket
from typing import Any, Final

# Below this, a call of the system costs more than the copies.
_LARGE: Final = 1 << 15

type Packed = list[bytes | memoryview]
"""A message: the sizes of its large byte strings, those, and the rest."""


def pack(message: object) -> Packed:
    """Make a message ready for :meth:`Pipe.send`: all of its work that may find no room."""
    rest = io.BytesIO()
    pickler = _Pickler(rest, protocol=pickle.HIGHEST_PROTOCOL)
    pickler.large = []
    pickler.dump(message)
    return [pickle.dumps([len(content) for content in pickler.large]), *pickler.large, rest.getbuffer()]


class Pipe:
    """One end of a pair of sockets."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._reader = end.makefile("rb")

    def send(self, message: Packed) -> None:
        """Send a message; an ``OSError`` if the other end is gone."""
        for part in message:
            self._socket.sendall(part)

    def receive(self) -> Any:
        """Wait for a message, and return it; an ``EOFError`` or ``OSError`` if the other end is gone."""
        try:
            # If the end comes within these, it comes before the rest, too.
            large = [self._reader.read(size) for size in pickle.load(self._reader)]
            unpickler = _Unpickler(self._reader)
            unpickler.large = large
            return unpickler.load()
        except pickle.UnpicklingError as error:
            raise EOFError(str(error)) from error

    def hang_up(self) -> None:
        """End what both ends wait for, in whichever thread."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._reader.close()
        self._socket.close()


class _Pickler(pickle.Pickler):
    large: list[bytes]

    def persistent_id(self, value: Any) -> int | None:
        """Leave a large byte string out, and its number in its place."""
        if type(value) is not bytes or len(value) < _LARGE:
            return None
        self.large.append(value)
        return len(self.large) - 1


class _Unpickler(pickle.Unpickler):
    large: list[bytes]

    def persistent_load(self, number: int) -> bytes:
        """Put back what was left out."""
        return self.large[number]
