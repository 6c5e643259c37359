"""Changes to a text that a reader hardly notices: spaces, case, names, typos, indentation.

All are functions of the text, the rate and a random stream alone. They take and give text, never bytes, so what they
make is valid UTF-8 if the text was.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Final

import numpy as np

from ..common import rng
from ..common.usage import did_you_mean
from ..errors import ConfigurationError

Perturbation = Callable[[str, float, np.uint64], str]

_IDENTIFIER: Final = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_INDENTATION: Final = re.compile(r"^(?:    )+", re.MULTILINE)


def _chosen(count: int, rate: float, stream: np.uint64) -> set[int]:
    """Which of ``count`` places are changed."""
    return set(np.flatnonzero(rng.uniform(stream, np.arange(count)) < rate).tolist())


def whitespace(text: str, rate: float, stream: np.uint64) -> str:
    """Doubles some of the single spaces between two words."""
    places = [match.start() for match in re.finditer(r"(?<=\S) (?=\S)", text)]
    chosen = {places[number] for number in _chosen(len(places), rate, stream)}
    return "".join("  " if place in chosen else character for place, character in enumerate(text))


def case(text: str, rate: float, stream: np.uint64) -> str:
    """Swaps the case of some ASCII letters."""
    chosen = _chosen(len(text), rate, stream)
    return "".join(
        character.swapcase() if place in chosen and character.isascii() else character
        for place, character in enumerate(text)
    )


def typos(text: str, rate: float, stream: np.uint64) -> str:
    """Swaps some neighbouring letters inside words; no letter is moved twice."""
    characters = list(text)
    moved = -1
    for place in sorted(_chosen(max(0, len(text) - 1), rate, stream)):
        if place > moved and characters[place].isalpha() and characters[place + 1].isalpha():
            characters[place], characters[place + 1] = characters[place + 1], characters[place]
            moved = place + 1
    return "".join(characters)


def identifiers(text: str, rate: float, stream: np.uint64) -> str:
    """Gives some identifiers another name, the same wherever they stand; keywords and attributes keep theirs."""
    names = sorted({name for name in _IDENTIFIER.findall(text) if not keyword.iskeyword(name) and len(name) > 1})
    chosen = {names[number]: f"name_{number}" for number in _chosen(len(names), rate, stream)}
    return _IDENTIFIER.sub(lambda match: chosen.get(match[0], match[0]), text)


def indentation(text: str, rate: float, stream: np.uint64) -> str:
    """Indents by tabs instead of by four spaces, everywhere: half a re-indented block would be another program."""
    return _INDENTATION.sub(lambda match: "\t" * (len(match[0]) // 4), text)


ALL: Final[dict[str, Perturbation]] = {
    "whitespace": whitespace,
    "case": case,
    "identifiers": identifiers,
    "typos": typos,
    "indentation": indentation,
}


def check(name: str) -> None:
    """Refuse a name that is not in :data:`ALL`.

    Raises
    ------
    ConfigurationError
        With the known ones.
    """
    if name not in ALL:
        hint = did_you_mean(name, ALL)
        raise ConfigurationError(
            f"no perturbation is called {name!r}; {hint}known: {', '.join(ALL)}", where="--perturbations"
        )


def apply(name: str, content: bytes, rate: float, seed: int, document: int) -> bytes:
    """Perturb a document's bytes.

    Parameters
    ----------
    name
        One of :data:`ALL`.
    content
        UTF-8; bytes that are none stay what they are.
    rate
        Share of the places that are changed, in [0, 1].
    seed, document
        Key the random numbers.
    """
    stream = rng.key(seed, rng.Purpose.PERTURBATION, document, list(ALL).index(name))
    return ALL[name](content.decode("utf-8", "surrogateescape"), rate, stream).encode("utf-8", "surrogateescape")
