"""``python -m megatron_proxy.model.hf.saving FOLDER BYTES FLAGS…``: fill Megatron's model from FOLDER and save it.

Megatron keeps its arguments and process groups in global variables, and without a GPU needs a stand-in for CUDA: so it
runs in a process of its own, which :mod:`.importing` starts. BYTES says what the rows of bytes begin as if FOLDER is a
model over tokens, and else nothing; FLAGS are Megatron's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...adaptor import cpu, hooks
from ...adaptor.release import saving
from ...errors import ProxyError
from .folder import HfFolder
from .importing import rows_of, shape_of
from .megatron_weights import MegatronWeights
from .rows import Bytes, Drawing


def main() -> int:
    """Run the process; the last line of what a mistake prints tells it."""
    source, tokens = Path(sys.argv.pop(1)), sys.argv.pop(1)
    cpu.install(asked=True)
    hooks.install()

    def weights(args: argparse.Namespace) -> saving.Weights:
        folder = HfFolder(source)
        rows = rows_of(folder, args.data_path[0], args.proxy_compression, Bytes(tokens) if tokens else None)
        drawing = Drawing(args.seed, args.init_method_std)
        return MegatronWeights(folder, shape_of(folder), args.padded_vocab_size, rows, drawing).read

    try:
        saving.save_release(weights)
    except ProxyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
