"""``megatron-proxy COMMAND …``: one module per command in :mod:`megatron_proxy.commands`.

A command's module is imported only when it is asked for, so that ``megatron-proxy --help`` loads neither torch nor
megatron. Such a module has a docstring (its help), ``add_arguments(parser)`` and ``run(args) -> int``.
"""

from __future__ import annotations

import argparse
import errno
import io
import keyword
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

from . import __version__
from .common import extras, usage
from .errors import ProxyError

COMMANDS: Final[dict[str, str]] = {
    "prepare": "make the views of a corpus",
    "import-reference": "take over a corpus compressed for the paper's implementation",
    "merge": "put the shards of a prefix together",
    "train-compressor": "let a compressor learn from a corpus",
    "verify": "check that a prepared dataset is whole, and decodes to itself",
    "plan": "make the plans of a training command beforehand",
    "doctor": "tell whether training would start, and the next command",
    "inspect": "look at the views: figures, symbols, stability",
    "evaluate": "bits per byte of held-out documents under a trained model",
    "evaluate-code": "pass@k on HumanEval, MBPP and ReCode",
    "robustness": "bits per byte behind perturbed prompts",
    "report": "one page about training runs: BPB, schedule, figures, generations",
    "export": "write a trained model as a Hugging Face folder",
    "import": "make a checkpoint of an exported folder, to train on",
    "generate": "write raw bytes with a trained model",
    "patch": "add the plugin's import line to a pretraining script",
}
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, as docs/reference.md tells them."""
    argv = sys.argv[1:] if argv is None else list(argv)
    _let_everything_be_printed()
    try:
        return _run(argv)
    except ProxyError as error:
        print(f"megatron-proxy: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("megatron-proxy: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): say nothing, and keep the interpreter from flushing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        full = ProxyError(f"cannot be written ({error.strerror})", where=error.filename, fix="make room on this disk")
        print(f"megatron-proxy: error: {full}", file=sys.stderr)
        return 1


def _let_everything_be_printed() -> None:
    """No name of a file or a key ends a command because the terminal has no letters for it, or there is no terminal."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # As Python itself does for standard error.
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(argv: Sequence[str]) -> int:
    name, *rest = argv or ["--help"]
    if name not in COMMANDS:
        return _without_command(name)
    try:
        return int(module_of(name).run(usage.parse(parser_of(name), rest)))
    except ModuleNotFoundError as error:
        if error.name not in extras.PACKAGES:
            raise
        raise extras.missing(error.name, f"megatron-proxy {name}") from error


def _without_command(word: str) -> NoReturn:
    """Answer a command line whose first word is no command: it asks for help or the version, or is refused."""
    parser = _top_level_parser()
    if word in parser._option_string_actions:
        parser.parse_args([word])
    if word.startswith("-"):
        usage.refuse(parser, [word], f"a command comes first, not {word}")
    advice = usage.did_you_mean(word, COMMANDS) or f"'{parser.prog} --help' lists the commands"
    usage.refuse(parser, [], f"no command is called {word!r}; {advice.strip()}")


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command's flags."""
    command = module_of(name)
    parser = argparse.ArgumentParser(
        prog=f"megatron-proxy {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def module_of(name: str) -> Any:
    """The module of one command."""
    # A module cannot be called like a keyword (import).
    module = f"{name}_" if keyword.iskeyword(name) else name.replace("-", "_")
    return import_module(f"{__package__}.commands.{module}")


def _top_level_parser() -> argparse.ArgumentParser:
    """The parser of a command line without a command: it helps, or tells the version."""
    width = max(map(len, COMMANDS)) + 2
    listing = "\n".join(f"  {name:<{width}}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="megatron-proxy",
        usage="megatron-proxy [-h] [--version] COMMAND ...",
        description=f"Proxy compression as a flag on existing Megatron pretraining scripts.\n\ncommands:\n{listing}",
        epilog="'megatron-proxy COMMAND --help' tells the flags of one command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"megatron-proxy {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
