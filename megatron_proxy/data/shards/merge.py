"""Shards put together: the dataset that one run over the whole corpus would have made, byte for byte."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CorpusError, DatasetError
from ..dataset import manifest, reader
from ..dataset.manifest import Manifest
from ..prepare.compressed_view import view_files
from ..prepare.dataset import Dataset
from ..prepare.lock import locked
from ..prepare.parts import concatenate, shard_prefix
from ..prepare.raw_view import skipped_lines_path
from ..prepare.run import RAW_DTYPE
from ..prepare.staging import PendingView, publish_file, writing


@dataclass(frozen=True)
class Shard:
    """One shard: its prefix and its manifest."""

    prefix: str
    manifest: Manifest


def merge(
    prefix: str,
    *,
    overwrite: bool = False,
    remove_shards: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Make ``PREFIX`` of ``PREFIX_shard-…-of-…``, in memory that does not grow with the shards.

    Parameters
    ----------
    prefix
        The prefix that the shards were made for.
    overwrite
        Whether a dataset that is there may be replaced.
    remove_shards
        Whether to remove the shards' files at the end.
    report
        Where the results are told.

    Raises
    ------
    DatasetError
        Shards that are missing, damaged, or do not belong together.
    """
    check_free(prefix, overwrite=overwrite)
    shards = find_shards(prefix)
    first = shards[0].manifest
    for shard in shards[1:]:
        _check_same(shards[0], shard)
    for shard in shards:
        for name in shard.manifest.compressed:
            reader.check_views(shard.prefix, shard.manifest, name)
    with locked(prefix) as lock:
        dataset = Dataset(prefix, lock, overwrite=overwrite)
        _merge_raw(dataset, shards)
        report(f"{prefix}: {dataset.prepared.documents:,} documents of {len(shards)} shards in the raw view")
        for name in first.compressed:
            _merge_view(dataset, shards, name)
            report(f"{prefix}: {dataset.prepared.compressed[name].view.units:,} codes in the {name} view")
    if remove_shards:
        for shard in shards:
            _remove(shard)


def check_free(prefix: str, *, overwrite: bool) -> None:
    """Refuse a prefix that is prepared already, unless it may be overwritten.

    Raises
    ------
    DatasetError
        If it is.
    """
    if manifest.path_of(prefix).exists() and not overwrite:
        raise DatasetError("is prepared already", where=prefix, fix="replace it with --overwrite")


def find_shards(prefix: str) -> list[Shard]:
    """All shards of a prefix, in order.

    Raises
    ------
    DatasetError
        If there are none, or some of them are missing, or there are those of several divisions.
    """
    path = Path(prefix)
    pattern = re.compile(re.escape(path.name) + r"_shard-(\d+)-of-(\d+)_manifest\.json")
    matches = [match for name in sorted(_names(path.parent)) if (match := pattern.fullmatch(name))]
    counts = sorted({int(match[2]) for match in matches})
    if len(counts) != 1:
        what = f"shards of {' and of '.join(map(str, counts))} are there" if counts else "there are no shards"
        raise DatasetError(
            what,
            where=f"{prefix}_shard-*",
            fix="remove those of another division" if counts else "prepare … --shard i/n, for every i",
        )
    missing = sorted(set(range(counts[0])) - {int(match[1]) for match in matches})
    if missing:
        raise DatasetError(
            f"{len(missing)} of {counts[0]} shards are missing or unfinished: {', '.join(map(str, missing[:20]))}",
            where=f"{prefix}_shard-*",
            fix=f"prepare … --shard {missing[0]}/{counts[0]}, and so on",
        )
    prefixes = [shard_prefix(prefix, (index, counts[0])) for index in range(counts[0])]
    return [_checked_shard(one, [index, counts[0]]) for index, one in enumerate(prefixes)]


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})", where=str(folder)) from error


def _checked_shard(prefix: str, expected: list[int]) -> Shard:
    content = manifest.read(prefix)
    if content.source.get("shard") != expected:
        raise DatasetError(
            f"says that it is shard {content.source.get('shard')}, not {expected}",
            where=str(manifest.path_of(prefix)),
            fix="a renamed shard cannot be merged: prepare it again",
        )
    return Shard(prefix, content)


def _check_same(first: Shard, other: Shard) -> None:
    """Check that two shards come from one corpus, one compressor each and one environment."""
    for what, found, expected in zip(_FACTS, _facts(other.manifest), _facts(first.manifest), strict=True):
        if found != expected:
            raise DatasetError(
                f"does not belong to {first.prefix}: {what} differ ({found} and {expected})",
                where=str(manifest.path_of(other.prefix)),
                fix="prepare all shards with one command line (but for --shard), one --compressor-from and one release",
            )


# What a shard counts for itself.
_COUNTS = ("skipped_lines", "left_out")
_FACTS = ("corpus and flags", "versions", "compressors' fingerprints")


def _facts(content: Manifest) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    corpus = {key: value for key, value in content.source.items() if key not in ("shard", *_COUNTS)}
    fingerprints = {name: view.fingerprint for name, view in content.compressed.items()}
    return corpus, content.versions, fingerprints


def _merge_raw(dataset: Dataset, shards: Sequence[Shard]) -> None:
    source = {key: value for key, value in shards[0].manifest.source.items() if key != "shard"}
    source["skipped_lines"] = sum(int(shard.manifest.source["skipped_lines"]) for shard in shards)
    left_out: Counter[str] = Counter()
    for shard in shards:
        left_out.update(shard.manifest.source.get("left_out", {}))
    source |= {"left_out": dict(sorted(left_out.items()))} if left_out else {}
    pending = dataset.pending(reader.raw_path(dataset.prefix), RAW_DTYPE)
    try:
        concatenate(
            [reader.raw_path(shard.prefix) for shard in shards], [shard.manifest.raw for shard in shards], pending
        )
        raw = pending.finish()
        if not raw.units:
            raise CorpusError("all shards are empty", where=dataset.prefix)
        _merge_skipped_lines(dataset.prefix, shards, source["skipped_lines"])
        dataset.publish_raw(pending, raw, sum(shard.manifest.documents for shard in shards), source)
    finally:
        pending.discard()


def _merge_skipped_lines(prefix: str, shards: Sequence[Shard], count: int) -> None:
    path = skipped_lines_path(prefix)
    with writing(path):
        if count:
            lists = (skipped_lines_path(shard.prefix) for shard in shards)
            publish_file(path, b"".join(one.read_bytes() for one in lists if one.exists()))
        else:
            path.unlink(missing_ok=True)


def _merge_view(dataset: Dataset, shards: Sequence[Shard], name: str) -> None:
    compressor = manifest.load_compressor(shards[0].prefix, name)
    entries = [shard.manifest.compressed[name] for shard in shards]
    with ExitStack() as stack:
        pending: list[PendingView] = []
        for number, (path, dtype) in enumerate(view_files(dataset.prefix, compressor)):
            pending.append(dataset.pending(path, dtype))
            stack.callback(pending[-1].discard)
            paths = [view_files(shard.prefix, compressor)[number][0] for shard in shards]
            concatenate(paths, [entry.stored_views()[number] for entry in entries], pending[-1])
        dataset.publish_compressed(compressor, pending, [one.finish() for one in pending])


def _remove(shard: Shard) -> None:
    """Remove a shard, its manifest first: what is left then is no dataset."""
    paths = [manifest.path_of(shard.prefix), skipped_lines_path(shard.prefix)]
    for path in [*paths, *manifest.own_paths(shard.prefix, shard.manifest.stored_files())]:
        with writing(path):
            path.unlink(missing_ok=True)
