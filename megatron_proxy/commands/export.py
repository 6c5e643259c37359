"""Write a trained model as a Hugging Face folder, for raw bytes alone.

  megatron-proxy export --load checkpoints/run --output exported/run

The folder holds a LlamaForCausalLM over specials and bytes (the compressed symbols are dropped) and a tokenizer of
bytes that puts <raw> in front. AutoModelForCausalLM and AutoTokenizer load it with no remote code:

  model = AutoModelForCausalLM.from_pretrained("exported/run")
  tokenizer = AutoTokenizer.from_pretrained("exported/run")

With --format gguf it holds the same model as model.gguf for llama.cpp, and a Modelfile for Ollama.

A model card, README.md, says the same, and the figures that --evaluation names; its licence is left for you to fill in.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from ..common.storage.files import require_free
from ..errors import ConfigurationError

_UNITS: Final = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--load", required=True, metavar="CKPT", help="the folder that --save named in training")
    parser.add_argument("--iteration", type=int, metavar="N", help="which iteration of it (default: the latest)")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--format",
        choices=("hf", "gguf"),
        default="hf",
        help="hf: a folder for transformers and what reads the like; gguf: a file for llama.cpp (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DIR, with all that is in it")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="what to store (default: what the checkpoint stores)",
    )
    parser.add_argument(
        "--max-shard-size", default="5GB", metavar="SIZE", help="most bytes in one file, such as 500MB (default: 5GB)"
    )
    parser.add_argument(
        "--evaluation",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="FILE",
        help="what 'evaluate --output' wrote about this checkpoint, for the model card",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    limit = _bytes(args.max_shard_size)
    require_free(args.output, overwrite=args.overwrite)
    if args.format == "gguf" and args.evaluation:
        raise ConfigurationError("figures go into a model card, which the format gguf has not", where="--evaluation")
    import torch

    from ..model.checkpoint import open_checkpoint
    from ..model.hf import export
    from ..model.hf.card import read_evaluation

    evaluations = [read_evaluation(path) for path in args.evaluation]
    checkpoint = open_checkpoint(args.load, args.iteration)
    dtype = None if args.dtype is None else getattr(torch, args.dtype)
    folder = Path(args.output)
    if args.format == "gguf":
        from ..model import gguf

        gguf.export(checkpoint, folder, dtype=dtype, overwrite=args.overwrite)
        print(f"wrote {args.output}: llama-cli -m {folder / gguf.MODEL} -no-cnv -p 'def read('")
        return 0
    export(checkpoint, folder, dtype=dtype, shard_bytes=limit, overwrite=args.overwrite, evaluations=evaluations)
    print(f"wrote {args.output}: transformers.AutoModelForCausalLM.from_pretrained({args.output!r})")
    print(f"its model card is {folder / 'README.md'}; the licence in it is left for you to fill in")
    return 0


def _bytes(size: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?B|)", size.strip().upper())
    if match is None or (value := int(float(match[1]) * _UNITS[match[2]])) < 1:
        raise ConfigurationError(f"{size!r} is not a size", where="--max-shard-size", fix="such as 5GB or 500MB")
    return value
