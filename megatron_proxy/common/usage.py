"""What is wrong with a command line: in two lines, with the word that was probably meant.

argparse prints the whole usage, a screen or (Megatron's parser) many, and says nothing of words that are almost right.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NoReturn

EXIT_CODE: Final = 2
_LEAST_BEGINNING: Final = 3
"""Shorter beginnings of a word stand for too many."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be, if one is like it, or begins with it."""
    # Dashes say nothing of which flag was meant, nor do capitals.
    plain = {_plain(one): one for one in known}
    found = difflib.get_close_matches(_plain(word), plain, n=1)
    if not found and len(_plain(word)) >= _LEAST_BEGINNING:
        found = [one for one in plain if one.startswith(_plain(word))]
    return plain[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A part of a message about an unknown word: a question and a space, or nothing if no known word is close."""
    found = closest(word, known)
    return f"did you mean {found!r}? " if found else ""


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; one that is not understood ends the process with :data:`EXIT_CODE`, in two lines."""
    parser.error = partial(refuse, parser, argv)  # type: ignore[method-assign]
    return parser.parse_args(argv)


def refuse(parser: argparse.ArgumentParser, argv: Sequence[str], message: str) -> NoReturn:
    """End the process with :data:`EXIT_CODE`, a short usage, and the message with what was probably meant."""
    positionals = "".join(f" {action.metavar}" for action in parser._actions if not action.option_strings)
    usage = parser.usage or f"{parser.prog} [options]{positionals}"
    parser.exit(EXIT_CODE, f"usage: {usage}\n{parser.prog}: error: {explained(parser, argv, message)}\n")


def explained(parser: argparse.ArgumentParser, argv: Sequence[str], message: str) -> str:
    """A message of argparse, followed by what unknown flags and choices of the command line were meant to be."""
    misspelt = list(_misspelt(parser, argv))
    if not misspelt:
        return message
    if len(misspelt) == 1 and misspelt[0][0] in re.split(r"[\s',=]+", message):
        return f"{message}; did you mean {misspelt[0][1]!r}?"
    return f"{message}; did you mean {', '.join(f'{meant!r} by {word!r}' for word, meant in misspelt)}?"


def _misspelt(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The unknown flags and choices of a command line, each with the known one that is close to it."""
    flags = parser._option_string_actions
    action = None
    for word in argv:
        flag, _, value = word.partition("=") if word.startswith("-") else ("", "", word)
        if flag:
            action = flags.get(flag)
        choices = [] if action is None else list(map(str, action.choices or ()))
        wrong, known = (flag, list(flags)) if flag and action is None else (value, choices)
        if wrong and wrong not in known and (meant := closest(wrong, known)):
            yield wrong, meant


def _plain(word: str) -> str:
    return word.lstrip("-").lower().replace("_", "-")
