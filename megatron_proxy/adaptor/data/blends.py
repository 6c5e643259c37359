"""The prefixes that a run reads, and their weights, as Megatron takes them from its flags and files.

Megatron's own reading of them ends in a traceback where a list is empty or a file lacks a part, so all is looked at
before.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigurationError, UnsupportedError

_SPLITS: Final = ("train", "valid", "test")


def prefixes(args: argparse.Namespace) -> list[str]:
    """The prefixes of all splits, in order of appearance.

    Raises
    ------
    ConfigurationError
        No prefix at all, a file of prefixes that cannot be read or lacks a part, a list that is empty or gives weights
        to some only, no data to train on, a prefix named twice in one blend, or one whose weight is not above 0.
    UnsupportedError
        ``--full-validation`` with one validation set, or with a test set.
    """
    from megatron.training.utils import get_blend_and_blend_per_split

    for words, where in _lists(args):
        _check_words(words, where)
    blend, per_split = get_blend_and_blend_per_split(args)
    blends = [one for one in (blend, *(per_split or ())) if one is not None]
    for names, weights in blends:
        _check_blend(names, weights)
    if per_split is not None and per_split[0] is None and not args.skip_train:
        # Megatron would end well, having trained nothing.
        raise ConfigurationError(
            "there is nothing to train on", where="--train-data-path", fix="name its prefixes, or give --skip-train"
        )
    every = [name for names, _ in blends for name in names]
    if not every:
        raise ConfigurationError(
            "no data is given", where="--data-path", fix="give the prefix of a prepared dataset: --data-path PREFIX"
        )
    if getattr(args, "full_validation", False):
        # Without --split Megatron takes 969,30,1.
        tested = per_split[2] is not None if per_split else _share(args.split or "969,30,1", 2) > 0
        _check_full_validation(args, tested)
    return every


def _lists(args: argparse.Namespace) -> Iterator[tuple[Sequence[str], str]]:
    """Every list of prefixes that Megatron will read: its words, and where they are from."""
    for flag in ("data_path", *(f"{split}_data_path" for split in _SPLITS)):
        words = getattr(args, flag, None)
        if words is not None:
            yield words, f"--{flag.replace('_', '-')}"
    if args.data_args_path is not None:
        yield _read(args.data_args_path, "--data-args-path", str.split), args.data_args_path
    if args.per_split_data_args_path is not None:
        yield from _parts(args.per_split_data_args_path)


def _parts(path: str) -> Iterator[tuple[Sequence[str], str]]:
    found = _read(path, "--per-split-data-args-path", json.loads)
    for split in _SPLITS:
        if not isinstance(found, dict) or split not in found:
            raise ConfigurationError(
                f"the part {split!r} is missing",
                where=path,
                fix='give {"train": [...], "valid": [...], "test": [...]}, with null for a part without data',
            )
        words = found[split].split() if isinstance(found[split], str) else found[split]
        if not (words is None or (isinstance(words, list) and all(isinstance(word, str) for word in words))):
            raise ConfigurationError(
                f"the part {split!r} is no list of prefixes, or of weights and prefixes",
                where=path,
                fix='give strings: ["0.7", "PREFIX", "0.3", "OTHER"]',
            )
        if words is not None:
            yield words, f"{path}: {split}"


def _read(path: str, flag: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path!r} cannot be read ({reason})", where=flag) from error


def _check_full_validation(args: argparse.Namespace, tested: bool) -> None:
    """Megatron would train with these, to end in a TypeError at the first evaluation, or at the last."""
    if not getattr(args, "multiple_validation_sets", False):
        raise UnsupportedError(
            "Megatron does not evaluate one set in full",
            where="--full-validation",
            fix="give --multiple-validation-sets as well, also for one set",
        )
    if tested:
        raise UnsupportedError(
            "Megatron does not evaluate a test set after sets of validation",
            where="--full-validation",
            fix="give test no share (--split 98,2,0) and no data (no --test-data-path)",
        )


def _share(split: str, which: int) -> float:
    shares = [float(share) for share in split.replace("/", ",").split(",") if share.strip()]
    return shares[which] if which < len(shares) else 0.0


def _check_words(words: Sequence[str], where: str) -> None:
    if not words:
        raise ConfigurationError("no prefix is named here", where=where, fix="name the prefix of a prepared dataset")
    # Megatron takes the words of an even list in pairs.
    numbers = [_is_number(word) for word in words[::2]]
    if len(words) % 2 == 0 and any(numbers) and not all(numbers):
        raise ConfigurationError(
            "some prefixes have a weight and others have none", where=where, fix="give all a weight, or none"
        )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_blend(names: Sequence[str], weights: Sequence[float] | None) -> None:
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise ConfigurationError(
            f"{twice[0]!r} is named twice in one blend", where="--data-path", fix="name it once, with both weights"
        )
    for name, weight in zip(names, weights or [1.0] * len(names), strict=True):
        # Megatron would fail without a word on the first rank, while the others wait for it.
        if not 0.0 < weight < math.inf:
            raise ConfigurationError(
                f"{name!r} has the weight {weight:g} in its blend",
                where="--data-path",
                fix="give it a weight above 0, or leave it out",
            )
