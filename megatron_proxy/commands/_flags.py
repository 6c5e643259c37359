"""Flags that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, Final

from .. import compressors
from ..common.progress import DEFAULT_LOG_INTERVAL
from ..data.corpus import DEFAULT_KEY, Taking
from ..errors import CompressorError, ConfigurationError, check_count

_DESTINATION: Final = "compressor option"


def add_input(parser: argparse._ActionsContainer, *, required: bool) -> None:
    """``--input``, how it is read, and ``--skip-bad-lines``."""
    parser.add_argument(
        "--input",
        nargs="+",
        action="extend",
        default=[],
        required=required,
        metavar="FILE",
        help="JSONL (plain, .gz, .zst, .xz, .bz2), Parquet, Arrow, tar, folders; globs and addresses (s3://) of them; "
        "- for standard input",
    )
    parser.add_argument(
        "--files",
        metavar="GLOB",
        help="take each file of a folder, or member of a tar archive, that this names as a document, such as '*.py'",
    )
    parser.add_argument(
        "--text-documents",
        choices=("file", "blank-line"),
        help="the files are plain text: each is a document, or blank lines part its documents",
    )
    parser.add_argument(
        "--skip-bad-lines",
        action="store_true",
        help="pass over lines, rows and members that hold no document, instead of ending with an error",
    )


def reading(args: argparse.Namespace) -> dict[str, Any]:
    """How the inputs are read, by the flags of :func:`add_input`: keywords of what reads documents."""
    return {"taking": Taking(args.files, args.text_documents), "skip_bad_lines": args.skip_bad_lines}


def add_json_keys(parser: argparse._ActionsContainer) -> None:
    """``--json-keys``."""
    parser.add_argument(
        "--json-keys",
        nargs="+",
        default=[DEFAULT_KEY],
        metavar="KEY",
        help=f"keys or columns of the documents' text, outer.inner in records (default: {DEFAULT_KEY}); "
        "several make a dataset each, PREFIX_<key>",
    )


def add_json_key(parser: argparse._ActionsContainer, *, formerly: str = "--json-key") -> None:
    """``--json-keys`` where there can be one only: ``args.json_key``. The name that it had before is still taken."""
    parser.add_argument(
        "--json-keys",
        dest="json_key",
        default=DEFAULT_KEY,
        metavar="KEY",
        help="key or column of the documents' text, outer.inner in records (default: %(default)s)",
    )
    parser.add_argument(formerly, dest="json_key", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def add_running(parser: argparse._ActionsContainer) -> None:
    """``--workers`` and ``--log-interval``."""
    parser.add_argument(
        "--workers",
        type=int,
        default=_cores(),
        metavar="N",
        help="worker processes (default: one per core); 0 works in this process",
    )
    parser.add_argument(
        "--log-interval",
        type=int,
        default=DEFAULT_LOG_INTERVAL,
        metavar="N",
        help="documents between two lines of progress, where standard error is not a terminal (default: %(default)s)",
    )


def _cores() -> int:
    """The cores that this process may use; all of the machine's where the system cannot tell (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_compressor_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """``--<compressor>-<option>`` for what each compressor declares; one that cannot be imported here is left out."""
    for name in names:
        try:
            options = compressors.get(name).options
        except CompressorError:
            continue
        group = parser.add_argument_group(f"options of {name}") if options else parser
        for option in options:
            shown = "" if option.default in (None, "") else f" (default: {option.default})"
            group.add_argument(
                f"--{name}-{option.name}",
                dest=f"{_DESTINATION}:{name}:{option.name}",
                type=_boolean if option.type is bool else option.type,
                choices=option.choices,
                metavar=None if option.choices else option.type.__name__.upper(),
                default=argparse.SUPPRESS,
                help=f"{option.help}{shown}".replace("%", "%%"),
            )


def compressor_options(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The options that were given, by compressor."""
    found: dict[str, dict[str, Any]] = {}
    for destination, value in vars(args).items():
        if destination.startswith(f"{_DESTINATION}:"):
            _, name, option = destination.split(":", 2)
            found.setdefault(name, {})[option] = value
    return found


def split_names(values: Sequence[str]) -> list[str]:
    """The names in ``--compressor zstd,gzip --compressor trie``."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """(i, n) of ``i/n``.

    Raises
    ------
    ConfigurationError
        For anything else.
    """
    if text is None:
        return None
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise ConfigurationError(f"{text!r} is not of the form i/n, such as 0/8", where="--shard")
    return int(index), int(count)


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"expected true or false, not {text!r}") from None


def check_counts(args: argparse.Namespace, *names: str) -> None:
    """Refuse counts below one; those that were not given are left alone.

    Raises
    ------
    ConfigurationError
        Naming the flag.
    """
    for name in names:
        check_count(getattr(args, name), f"--{name.replace('_', '-')}")
