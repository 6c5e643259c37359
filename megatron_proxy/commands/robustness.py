"""How a model copes with perturbed prompts: spaces, case, renamed identifiers, typos, indentation.

  megatron-proxy robustness --load checkpoints/run --input held_out.jsonl --output robust.json --plot robust.svg

The first half of every document is perturbed; bits per byte and the share of right next bytes are told over the
beginning of its second half, which is left as it is, beside those behind the clean first half. Of the second half the
bytes count that are read in one window with the first: context less stride, which the output tells.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

from ..common.progress import Steps
from ..common.storage.files import require_file
from ..errors import ConfigurationError
from . import _answer, _flags, _model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    _model.add_arguments(parser)
    corpus = parser.add_argument_group("documents")
    _flags.add_input(corpus, required=True)
    _flags.add_json_key(corpus)
    corpus.add_argument("--max-documents", type=int, metavar="N", help="take only the first N documents")
    corpus.add_argument("--perturbations", nargs="+", metavar="NAME", help="which (default: all)")
    corpus.add_argument("--rate", type=float, default=0.05, help="share of places changed (default: %(default)s)")
    corpus.add_argument("--seed", type=int, default=0, metavar="N", help="of the changes (default: %(default)s)")
    running = parser.add_argument_group("running")
    _model.add_windows(running)
    _answer.add_json(running)
    running.add_argument("--output", metavar="FILE", help="write the figures as JSON")
    running.add_argument("--plot", metavar="FILE", help="draw them, by its ending as SVG or PNG")
    running.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with _answer.answering(args) as answer:
        content, text = _measure(args)
        answer.text(text)
        answer.content(content)
        if args.output:
            _answer.save(content, args.output)
    return 0


def _measure(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures, for programs and for people; drawn too, where that is asked for."""
    for flag, path in (("--output", args.output), ("--plot", args.plot)):
        if path:
            require_file(path, overwrite=args.overwrite, flag=flag)
    _flags.check_counts(args, "batch", "max_documents")
    if not 0.0 < args.rate <= 1.0:
        raise ConfigurationError(f"must lie in (0, 1], not {args.rate}", where="--rate")
    from ..data import corpus
    from ..evaluation import perturbations, robustness, robustness_plot
    from ..evaluation.scoring import Scorer

    names = args.perturbations or list(perturbations.ALL)
    for name in names:
        perturbations.check(name)
    if args.plot:
        robustness_plot.check(Path(args.plot))
    checkpoint, model = _model.load(args)
    context, stride = _model.windows(args, model)
    texts = corpus.documents(args.input, args.json_key, **_flags.reading(args))
    documents = list(itertools.islice(texts, args.max_documents))
    total = (1 + len(names)) * robustness.scored_bytes(documents, context, stride)
    with Steps("evaluating", total, "bytes") as progress:
        scorer = Scorer(model, context, stride, args.batch, progress=progress.advance)
        measured = robustness.measure(
            documents, names, scorer, rate=args.rate, seed=args.seed, sentinels=checkpoint.sentinels
        )
    found = robustness.figures(measured)
    if args.plot:
        robustness_plot.save(found, Path(args.plot))
    settings = {"context": context, "stride": stride, "rate": args.rate, "seed": args.seed}
    content = {"checkpoint": str(checkpoint.folder), **settings, "bytes_behind_prompts": measured.rest_bytes}
    return {**content, "prompts": found}, robustness.as_table(measured)
