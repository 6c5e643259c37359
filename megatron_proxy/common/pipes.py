"""Messages between processes of ours, whose large byte strings travel beside the pickle instead of in it.

Within a pickle they are copied four times more than they must be: into it, out of the pipe in pieces, together, and out
of it. Where one process takes in what many make, that is most of its work.
"""

from __future__ import annotations

import io
import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

# Below this, a call of the system costs more than the copies.
_LARGE: Final = 1 << 15


def send(connection: Connection, message: object) -> None:
    """Send a message through one end of a duplex ``multiprocessing.Pipe()``; the other end must :func:`receive` it.

    Raises
    ------
    OSError
        If the other end is gone.
    MemoryError
        If there is no room for the pickle; nothing has been sent then.
    """
    head = io.BytesIO()
    pickler = _Pickler(head)
    pickler.dump(message)
    connection.send_bytes(head.getbuffer())
    if pickler.large:
        with _socket(connection) as stream:
            for content in pickler.large:
                stream.sendall(content)


def receive(connection: Connection) -> Any:
    """Wait for a message, and return it.

    Raises
    ------
    EOFError, OSError
        If the other end is gone.
    """
    head = connection.recv_bytes()
    with _socket(connection) as stream:
        return _Unpickler(head, stream).load()


class _Pickler(pickle.Pickler):
    def __init__(self, head: io.BytesIO) -> None:
        super().__init__(head, protocol=pickle.HIGHEST_PROTOCOL)
        self.large: list[bytes] = []

    def persistent_id(self, value: Any) -> int | None:
        """Leave a large byte string out, and its size in its place."""
        if type(value) is not bytes or len(value) < _LARGE:
            return None
        self.large.append(value)
        return len(value)


class _Unpickler(pickle.Unpickler):
    def __init__(self, head: bytes, stream: socket.socket) -> None:
        super().__init__(io.BytesIO(head))
        self._stream = stream

    def persistent_load(self, size: int) -> bytes:
        """Read what was left out: it comes in the order in which the pickle names it."""
        content = b""
        # Once, unless a signal cuts the wait short.
        while len(content) < size:
            piece = self._stream.recv(size - len(content), socket.MSG_WAITALL)
            if not piece:
                raise EOFError
            content += piece
        return content


@contextmanager
def _socket(connection: Connection) -> Iterator[socket.socket]:
    """The socket that a duplex pipe is."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=connection.fileno())
    try:
        yield stream
    finally:
        # It stays open, and the connection's.
        stream.detach()
