"""Whether a folder is one for all nodes, or each node's own: told by the file system that it lies on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mounts")
# Of file systems in user space (fuse) most reach over a network, and a guest's 9p and virtiofs are its host's folders.
_SHARED: Final = (
    *("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "wekafs", "panfs", "pvfs2", "orangefs", "glusterfs", "afs"),
    *("cifs", "smb3", "smbfs", "gfs2", "ocfs2", "9p", "virtiofs", "daos", "quobyte", "moosefs", "acfs", "prl_fs"),
)


def is_shared(folder: str | os.PathLike[str], mounts: Path = _MOUNTS) -> bool:
    """Whether other nodes may see what is written to ``folder``, which need not be there yet.

    ``mounts`` is the system's table of mounted file systems; without one every folder is taken for this machine's own.
    """
    kind = _kind_of(os.path.realpath(folder), mounts)
    return kind in _SHARED or kind.startswith("fuse")


def _kind_of(path: str, mounts: Path) -> str:
    """The type of the file system at ``path``: the one mounted last at the longest part of it."""
    found, kind = -1, ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return kind
    for line in lines:
        _, place, type_, *_ = line.split(" ")
        # Blanks in places are written as octal numbers (see proc(5)).
        place = place.replace("\\040", " ")
        if place.startswith("/") and len(place) >= found and os.path.commonpath([place, path]) == place:
            found, kind = len(place), type_
    return kind
