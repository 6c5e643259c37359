"""The flags of a corpus that Megatron has tokenized."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..data.prepare import Recipe
    from ..data.tokens import TokenCorpus


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """``--input-tokens``, and what there is to say of its ids."""
    parser.add_argument(
        "--input-tokens",
        nargs="+",
        action="extend",
        default=[],
        metavar="PREFIX",
        help="instead of --input: what Megatron's preprocess_data.py wrote (PREFIX.bin, PREFIX.idx); the ids become "
        "the compressed view of their tokenizer, and what they decode to the raw view",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="what made the ids of --input-tokens: a tokenizer.json, a SentencePiece .model, or ranks (.tiktoken)",
    )
    parser.add_argument(
        "--eod-id",
        type=int,
        metavar="ID",
        help="the id that ends documents, which is taken off (default: the first document's last one, if it stands "
        "for no bytes)",
    )
    parser.add_argument(
        "--special-tokens",
        choices=("refuse", "drop"),
        default="refuse",
        help="what to do with other ids that stand for no bytes (default: %(default)s)",
    )


def given(args: argparse.Namespace, options: dict[str, dict[str, Any]]) -> tuple[TokenCorpus | None, dict[str, Recipe]]:
    """The tokenized corpus, if there is one, and its compressor by name, whose options are taken out.

    Raises
    ------
    ConfigurationError
        Flags of ids without ids.
    ProxyError
        What :func:`megatron_proxy.data.tokens.open_tokens` says.
    """
    if not args.input_tokens:
        for flag, value in (("--tokenizer", args.tokenizer), ("--eod-id", args.eod_id)):
            if value is not None:
                raise ConfigurationError("goes with --input-tokens", where=flag)
        return None, {}
    # Not for --help.
    from ..data.prepare import Recipe
    from ..data.tokens import open_tokens

    corpus, compressor = open_tokens(
        args.input_tokens, args.tokenizer, options, eod=args.eod_id, drop=args.special_tokens == "drop"
    )
    options.pop(corpus.name, None)
    return corpus, {corpus.name: Recipe(corpus.name, made=compressor)}
