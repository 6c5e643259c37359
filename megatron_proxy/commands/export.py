"""Write a trained model as a Hugging Face folder, for raw bytes alone.

  megatron-proxy export --load checkpoints/run --output exported/run

The folder holds a model over specials and bytes (the compressed symbols are dropped) and a tokenizer of bytes that puts
<raw> in front: a LlamaForCausalLM, or what has exactly the layers that were trained (a Qwen stays a Qwen).
AutoModelForCausalLM and AutoTokenizer load it with no remote code:

  model = AutoModelForCausalLM.from_pretrained("exported/run")
  tokenizer = AutoTokenizer.from_pretrained("exported/run")

With --view compressed the folder holds the model over the tokens that the symbols are, with the tokenizer of the model
that it began from, to compare the two:

  megatron-proxy export --load checkpoints/run --view compressed --original Qwen3-0.6B --data-prefix data/corpus
      --output exported/tokens

With --format gguf it holds the model over raw bytes as model.gguf for llama.cpp, and a Modelfile for Ollama.

A model card, README.md, says the same, and the figures that --evaluation names; its licence is left for you to fill in.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..common.storage.files import require_free
from ..errors import ConfigurationError
from . import _model

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint
    from ..model.hf.views import ExportedView

_UNITS: Final = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    _model.add_checkpoint(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--format",
        choices=("hf", "gguf"),
        default="hf",
        help="hf: a folder for transformers and what reads the like; gguf: a file for llama.cpp (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DIR, with all that is in it")
    parser.add_argument("--dtype", choices=_model.DTYPES, help="what to store (default: what the checkpoint stores)")
    parser.add_argument(
        "--max-shard-size", default="5GB", metavar="SIZE", help="most bytes in one file, such as 500MB (default: 5GB)"
    )
    tokens = parser.add_argument_group("the model over tokens")
    tokens.add_argument(
        "--view", choices=("raw", "compressed"), default="raw", help="what the model reads (default: %(default)s)"
    )
    tokens.add_argument("--original", metavar="HF", help="the folder of the model with this tokenizer, which is copied")
    tokens.add_argument("--data-prefix", metavar="PREFIX", help="the prepared dataset, for its compressor")
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
    _check_format(args)
    _check_view(args)
    from ..model.checkpoint import open_checkpoint
    from ..model.hf import export
    from ..model.hf.card import read_evaluation

    evaluations = [read_evaluation(path) for path in args.evaluation]
    checkpoint = open_checkpoint(args.load, args.iteration)
    dtype = _model.dtype(args)
    folder = Path(args.output)
    if getattr(checkpoint.args, "mtp_num_layers", None):
        print("the layers of --mtp-num-layers are left out: the exported model has no place for them")
    if args.format == "gguf":
        from ..model import gguf

        gguf.export(checkpoint, folder, dtype=dtype, overwrite=args.overwrite)
        print(f"wrote {args.output}: llama-cli -m {folder / gguf.MODEL} -no-cnv -p 'def read('")
        return 0
    view = _tokens(args, checkpoint) if args.view == "compressed" else None
    options = {"shard_bytes": limit, "overwrite": args.overwrite, "evaluations": evaluations, "view": view}
    export(checkpoint, folder, dtype=dtype, **options)
    print(f"wrote {args.output}: transformers.AutoModelForCausalLM.from_pretrained({args.output!r})")
    print(f"its model card is {folder / 'README.md'}; the licence in it is left for you to fill in")
    return 0


def _check_format(args: argparse.Namespace) -> None:
    if args.format == "gguf" and args.evaluation:
        raise ConfigurationError("figures go into a model card, which the format gguf has not", where="--evaluation")
    if args.format == "gguf" and args.view == "compressed":
        raise ConfigurationError("the format gguf holds the model over raw bytes alone", where="--view")


def _check_view(args: argparse.Namespace) -> None:
    for flag in ("original", "data_prefix"):
        given, needed = getattr(args, flag) is not None, args.view == "compressed"
        if given != needed:
            raise ConfigurationError(
                f"--view compressed {'needs it' if needed else 'is missing, which it is for'}",
                where=f"--{flag.replace('_', '-')}",
            )
    if args.evaluation and args.view == "compressed":
        raise ConfigurationError("figures are of raw bytes, which this model does not read", where="--evaluation")


def _tokens(args: argparse.Namespace, checkpoint: Checkpoint) -> ExportedView:
    from ..model.hf.views import token_view

    compressor = _model.compressor(args.data_prefix, checkpoint)
    return token_view(Path(args.original), compressor, sentinels=checkpoint.sentinels)


def _bytes(size: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?B|)", size.strip().upper())
    if match is None or (value := int(float(match[1]) * _UNITS[match[2]])) < 1:
        raise ConfigurationError(f"{size!r} is not a size", where="--max-shard-size", fix="such as 5GB or 500MB")
    return value
