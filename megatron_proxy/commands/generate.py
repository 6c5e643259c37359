"""Write raw bytes with a trained model.

  megatron-proxy generate --load checkpoints/run --prompt 'def fib(' --max-bytes 200 --temperature 0.7 --seed 1

One prompt is answered on standard output as it is written, byte by byte. Several prompts, or several samples of one,
are answered by one line of JSON each, with the keys prompt, completion and reason: 'end' (the model closed the text),
'stop' (a stop string came) or 'length'. Symbols and sentinels are never written, and only valid UTF-8 unless asked
otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import batched
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from . import _answer, _drafts, _flags, _model

if TYPE_CHECKING:
    from ..model.generation import Completion


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    _model.add_arguments(parser)
    prompts = parser.add_argument_group("prompts")
    prompts.add_argument("--prompt", action="append", default=[], metavar="TEXT", help="may be given several times")
    prompts.add_argument(
        "--prompt-file", action="append", default=[], metavar="FILE", help="a file's bytes as a prompt"
    )
    prompts.add_argument("--unconditional", action="store_true", help="begin a document without any prompt")
    prompts.add_argument(
        "--truncate-prompt", action="store_true", help="of a prompt that does not fit the context, keep the end"
    )
    prompts.add_argument("--num-samples", type=int, default=1, metavar="N", help="completions of each prompt")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-bytes", type=int, default=256, metavar="N", help="the most bytes to write")
    limits.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this string")
    limits.add_argument("--allow-invalid-utf8", action="store_true", help="write whatever bytes the model chooses")
    sampling = parser.add_argument_group("sampling")
    _model.add_sampling(sampling)
    speed = parser.add_argument_group("speed", "none of these changes what is written")
    _drafts.add_arguments(speed)
    speed.add_argument("--batch-size", type=int, default=16, metavar="N", help="completions written at once")
    speed.add_argument("--no-kv-cache", action="store_true", help="read everything again at every pass")


def run(args: argparse.Namespace) -> int:
    """Load the model, complete the prompts."""
    _flags.check_counts(args, "num_samples", "batch_size")
    _drafts.check(args)
    given = list(_prompts(args))
    from ..model.generation import Limits, Sampling, generate, stream

    limits = Limits(args.max_bytes, tuple(map(os.fsencode, args.stop)), not args.allow_invalid_utf8)
    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)
    drafting = _drafts.drafting(args)
    checkpoint, model = _model.load(args, drafting)
    if args.truncate_prompt:
        given = [prompt[-(model.architecture.context - 1) :] for prompt in given]
    prompts = [prompt for prompt in given for _ in range(args.num_samples)]
    options: dict[str, Any] = {"sentinels": checkpoint.sentinels, "use_cache": not args.no_kv_cache}
    options["drafting"] = drafting
    if len(prompts) == 1:
        _write(piece for _, piece in stream(model, prompts, limits, sampling, **options))
        return 0
    for number, batch in enumerate(batched(prompts, args.batch_size)):
        first_row = number * args.batch_size
        completions = generate(model, batch, limits, sampling, first_row=first_row, **options)
        for prompt, completion in zip(batch, completions, strict=True):
            _answer.show(_fields(prompt, completion), indent=None)
    return 0


def _prompts(args: argparse.Namespace) -> Iterator[bytes]:
    if args.unconditional:
        yield b""
    elif not args.prompt and not args.prompt_file:
        raise ConfigurationError(
            "no prompt is given", where="--prompt", fix="--prompt TEXT, --prompt-file FILE, or --unconditional"
        )
    for prompt in map(os.fsencode, args.prompt):
        yield _not_empty(prompt, "--prompt")
    for path in args.prompt_file:
        try:
            with open(path, "rb") as file:
                yield _not_empty(file.read(), f"--prompt-file {path}")
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read ({error.strerror})", where="--prompt-file") from error


def _not_empty(prompt: bytes, where: str) -> bytes:
    if not prompt:
        raise ConfigurationError("a prompt of no bytes", where=where, fix="to begin a document: --unconditional")
    return prompt


def _write(pieces: Iterable[bytes]) -> None:
    """Show pieces as they come: bytes, whatever the terminal's encoding."""
    for piece in pieces:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _fields(prompt: bytes, completion: Completion) -> dict[str, str]:
    return {"prompt": _text(prompt), "completion": _text(completion.text), "reason": completion.reason}


def _text(content: bytes) -> str:
    """Bytes in JSON: those that are no UTF-8 as lone surrogates, as `prepare` reads them."""
    return content.decode("utf-8", "surrogateescape")
