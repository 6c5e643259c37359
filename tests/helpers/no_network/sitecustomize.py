"""Found by every Python process that has this folder on its path: no connection but to this machine's own pipes.

Each attempt is written to the file that NO_NETWORK names, and refused.
"""

import os
import sys

_REACHING_OUT = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")


def _refuse(event, arguments):
    if event not in _REACHING_OUT:
        return
    # A pipe's end has no address, and that of a Unix socket is a path.
    address = arguments[0] if event.startswith("socket.get") else arguments[1]
    if event.startswith(("socket.connect", "socket.send")) and (address is None or isinstance(address, (str, bytes))):
        return
    with open(os.environ["NO_NETWORK"], "a", encoding="utf-8") as file:
        file.write(f"{event} {address}\n")
    raise OSError("there is no network here")


sys.addaudithook(_refuse)
