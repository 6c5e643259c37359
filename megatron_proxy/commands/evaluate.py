"""Bits per byte of held-out documents under a trained model, over raw bytes.

  megatron-proxy evaluate --load checkpoints/run --input held_out.jsonl --output bpb.json

Every byte is scored exactly once, in windows that slide by --stride; documents are separate unless --concatenate is
given. Over several processes or GPUs, with the same result:

  torchrun --nproc-per-node 8 --no-python megatron-proxy evaluate --load … --input …
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..common.progress import Steps
from ..common.storage.files import require_file
from ..errors import ConfigurationError
from . import _answer, _flags, _model

if TYPE_CHECKING:
    from ..compressors import Compressor
    from ..evaluation.bits import Document
    from ..model.checkpoint import Checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    _model.add_arguments(parser)
    corpus = parser.add_argument_group("documents")
    _flags.add_input(corpus, required=True)
    _flags.add_json_key(corpus)
    corpus.add_argument("--domain-key", metavar="KEY", help="key of a domain: figures are then told by domain too")
    corpus.add_argument("--max-documents", type=int, metavar="N", help="evaluate only the first N documents")
    corpus.add_argument("--concatenate", action="store_true", help="all documents in one stream, as in training")
    corpus.add_argument(
        "--view", choices=("raw", "compressed"), default="raw", help="what the model reads (default: %(default)s)"
    )
    corpus.add_argument(
        "--translate", action="store_true", help="also ask for each view when the other is given (needs --data-prefix)"
    )
    corpus.add_argument("--data-prefix", metavar="PREFIX", help="the prepared dataset, for its compressor")
    running = parser.add_argument_group("running")
    _model.add_windows(running)
    _answer.add_json(running)
    running.add_argument("--output", metavar="FILE", help="write the figures as JSON")
    running.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    _check_flags(args)
    with _answer.answering(args) as answer, _process_group():
        results, text = _measure(args)
        if _first():
            answer.text(text)
            answer.content(results)
            if args.output:
                _answer.save(results, args.output)
    return 0


def _first() -> bool:
    """Whether this process is the one that tells."""
    return os.environ.get("RANK", "0") == "0"


def _measure(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures, for programs and for people."""
    from ..evaluation import bits, translation
    from ..evaluation.scoring import Scorer

    checkpoint, model = _model.load(args)
    context, stride = _model.windows(args, model)
    compressor = _compressor(args, checkpoint)
    view = bits.raw_view(checkpoint.sentinels)
    if args.view == "compressed" and compressor is not None:
        view = bits.compressed_view(translation.encoder(compressor), checkpoint.sentinels)
    size = sum(len(document.content) for document in _documents(args))
    with _progress("evaluating", size) as progress:
        scorer = Scorer(model, context, stride, args.batch, progress=progress.advance)
        found = bits.measure(_documents(args), view, scorer, concatenate=args.concatenate)
    settings = {"context": context, "stride": stride, "concatenated": args.concatenate, "view": args.view}
    about = {"checkpoint": str(checkpoint.folder), "iteration": checkpoint.iteration, **settings}
    results = {**about, **bits.as_json(found)}
    tables = [bits.as_table(found)]
    if args.translate and compressor is not None:
        contents = (document.content for document in _documents(args))
        encode = translation.encoder(compressor)
        with _progress("translating", size * len(translation.DIRECTIONS)) as progress:
            sides = translation.measure(
                contents, encode, model, context=context, batch=args.batch, progress=progress.advance
            )
        results["translation"] = {name: side.figures() for name, side in sides.items()}
        tables.append(translation.as_table(sides))
    return results, "\n\n".join(tables)


def _compressor(args: argparse.Namespace, checkpoint: Checkpoint) -> Compressor | None:
    """The compressor of the prepared dataset, if it is asked for."""
    if not args.data_prefix:
        return None
    if args.translate and not checkpoint.sentinels:
        raise ConfigurationError(
            "a model trained without sentinels cannot be told what to translate", where="--translate"
        )
    return _model.compressor(args.data_prefix, checkpoint)


def _documents(args: argparse.Namespace) -> Iterator[Document]:
    from ..evaluation import bits

    documents = bits.read_documents(args.input, args.json_key, args.domain_key, **_flags.reading(args))
    return itertools.islice(documents, args.max_documents)


def _progress(label: str, size: int) -> Steps:
    """A bar that counts the documents' bytes, on the terminal of the process that tells."""
    return Steps(label, size, "bytes", shown=_first())


def _check_flags(args: argparse.Namespace) -> None:
    if args.output:
        require_file(args.output, overwrite=args.overwrite)
    _flags.check_counts(args, "batch", "max_documents")
    for flag, given in (("--view compressed", args.view == "compressed"), ("--translate", args.translate)):
        if given and not args.data_prefix:
            raise ConfigurationError(
                "the compressed view needs the compressor of the prepared dataset",
                where=flag,
                fix="give --data-prefix PREFIX, as in training",
            )


@contextmanager
def _process_group() -> Iterator[None]:
    """Join the other processes, if torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    import torch

    torch.distributed.init_process_group("gloo")
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
