"""``python -m megatron_proxy.adaptor.cpu SCRIPT ARGS…``: run a Megatron script on a CPU.

The script sees what it would see as ``python SCRIPT ARGS…``. With ``--proxy-compression`` among ARGS the plugin's hooks
are installed too, whether or not the script has the import line. With a GPU the script just runs.
"""

from __future__ import annotations

import os
import runpy
import sys

from .. import wanted
from . import install


def main(argv: list[str]) -> int:
    """Run ``argv[0]`` as ``__main__`` with the rest as its arguments."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if argv else 2
    script = argv[0]
    if not os.path.isfile(script):
        print(f"megatron_proxy: there is no script {script!r}", file=sys.stderr)
        return 2
    sys.argv = list(argv)
    # As `python SCRIPT` does: a checkout's own megatron/ must win over an installed one.
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    if not install(asked=True):
        print("megatron_proxy: a GPU was found; the script runs on it", file=sys.stderr)
    if wanted(sys.argv[1:]):
        from .. import hooks

        hooks.install()
    runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
