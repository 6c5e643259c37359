"""``python -m megatron_proxy.model.hf.saving FOLDER FLAGS…``: fill Megatron's model from FOLDER and save it.

Megatron keeps its arguments and process groups in global variables, and without a GPU needs a stand-in for CUDA: so it
runs in a process of its own, which :mod:`.importing` starts. FLAGS are Megatron's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...adaptor import cpu, hooks
from ...adaptor.release import saving
from ...errors import ProxyError
from .folder import LlamaFolder
from .importing import shape_of
from .megatron_weights import MegatronWeights


def main() -> int:
    """Run the process; the last line of what a mistake prints tells it."""
    folder = Path(sys.argv.pop(1))
    cpu.install(asked=True)
    hooks.install()

    def weights(args: argparse.Namespace) -> MegatronWeights:
        llama = LlamaFolder(folder)
        return MegatronWeights(llama, shape_of(llama), args.padded_vocab_size, args.seed, args.init_method_std)

    try:
        saving.save_release(weights)
    except ProxyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
