"""Shards put together: the dataset that one run over the whole corpus would have made, byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ...errors import CorpusError, DatasetError
from ..dataset.layout import Layout
from ..dataset.manifest import Manifest
from ..dataset.opened import PreparedDataset
from ..prepare.dataset import Dataset
from ..prepare.lock import locked
from ..prepare.parts import concatenate
from ..prepare.staging import publish_file, view_files, writing


def merge(
    prefix: str,
    *,
    overwrite: bool = False,
    remove_shards: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Make ``PREFIX`` of ``PREFIX_shard-…-of-…``, in memory that does not grow with the shards.

    The shards' files are removed at the end if ``remove_shards``; ``report`` is told the results.

    Raises
    ------
    DatasetError
        Shards that are missing, damaged, or do not belong together; a dataset that may not be overwritten.
    """
    check_free(prefix, overwrite=overwrite)
    shards = find_shards(prefix)
    first = shards[0].manifest
    for shard in shards[1:]:
        _check_same(shards[0], shard)
    for shard in shards:
        for name in shard.manifest.compressed:
            shard.check(name)
    with locked(prefix) as lock:
        dataset = Dataset(prefix, lock, overwrite=overwrite)
        _merge_raw(dataset, shards)
        report(f"{prefix}: {dataset.prepared.manifest.documents:,} documents of {len(shards)} shards in the raw view")
        for name in first.compressed:
            _merge_view(dataset, shards, name)
            report(f"{prefix}: {dataset.prepared.manifest.compressed[name].view.units:,} codes in the {name} view")
    if remove_shards:
        for shard in shards:
            _remove(shard)


def check_free(prefix: str, *, overwrite: bool) -> None:
    """Refuse, by a DatasetError, a prefix that is prepared already, unless it may be overwritten."""
    if Layout(prefix).manifest.exists() and not overwrite:
        raise DatasetError("is prepared already", where=prefix, fix="replace it with --overwrite")


def find_shards(prefix: str) -> list[PreparedDataset]:
    """All shards of a prefix, in order.

    Raises
    ------
    DatasetError
        If there are none, or some of them are missing, or there are those of several divisions.
    """
    layout = Layout(prefix)
    try:
        found = layout.shards()
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})", where=str(layout.folder)) from error
    counts = sorted({count for _, count in found})
    if len(counts) != 1:
        what = f"shards of {' and of '.join(map(str, counts))} are there" if counts else "there are no shards"
        raise DatasetError(
            what,
            where=f"{prefix}_shard-*",
            fix="remove those of another division" if counts else "prepare … --shard i/n, for every i",
        )
    missing = sorted(set(range(counts[0])) - {index for index, _ in found})
    if missing:
        raise DatasetError(
            f"{len(missing)} of {counts[0]} shards are missing or unfinished: {', '.join(map(str, missing[:20]))}",
            where=f"{prefix}_shard-*",
            fix=f"prepare … --shard {missing[0]}/{counts[0]}, and so on",
        )
    return [_checked_shard(layout.shard(index, counts[0]).prefix, [index, counts[0]]) for index in range(counts[0])]


def _checked_shard(prefix: str, expected: list[int]) -> PreparedDataset:
    shard = PreparedDataset.open(prefix)
    if shard.manifest.source.get("shard") != expected:
        raise DatasetError(
            f"says that it is shard {shard.manifest.source.get('shard')}, not {expected}",
            where=str(shard.layout.manifest),
            fix="a renamed shard cannot be merged: prepare it again",
        )
    return shard


def _check_same(first: PreparedDataset, other: PreparedDataset) -> None:
    """Check that two shards come from one corpus, one compressor each and one environment."""
    expected = _facts(first.manifest)
    for what, found in _facts(other.manifest).items():
        if found != expected[what]:
            raise DatasetError(
                f"does not belong to {first.layout.prefix}: {what} differ ({found} and {expected[what]})",
                where=str(other.layout.manifest),
                fix="prepare all shards with one command line (but for --shard), one --compressor-from and one release",
            )


def _facts(content: Manifest) -> dict[str, dict[str, Any]]:
    """What shards that belong together have in common, but for what each counts for itself."""
    own = ("shard", "skipped_lines", "left_out")
    return {
        "corpus and flags": {key: value for key, value in content.source.items() if key not in own},
        "versions": content.versions,
        "compressors' fingerprints": {name: view.fingerprint for name, view in content.compressed.items()},
    }


def _merge_raw(dataset: Dataset, shards: Sequence[PreparedDataset]) -> None:
    source = {key: value for key, value in shards[0].manifest.source.items() if key != "shard"}
    source["skipped_lines"] = sum(int(shard.manifest.source["skipped_lines"]) for shard in shards)
    left_out: Counter[str] = Counter()
    for shard in shards:
        left_out.update(shard.manifest.source.get("left_out", {}))
    source |= {"left_out": dict(sorted(left_out.items()))} if left_out else {}
    with closing(dataset.pending_raw()) as pending:
        concatenate([shard.layout.raw for shard in shards], [shard.manifest.raw for shard in shards], pending)
        raw = pending.finish()
        if not raw.units:
            raise CorpusError("all shards are empty", where=dataset.prefix)
        _merge_skipped_lines(dataset.layout.skipped_lines, shards, source["skipped_lines"])
        dataset.publish_raw(pending, raw, sum(shard.manifest.documents for shard in shards), source)


def _merge_skipped_lines(path: Path, shards: Sequence[PreparedDataset], count: int) -> None:
    with writing(path):
        if count:
            lists = (shard.layout.skipped_lines for shard in shards)
            publish_file(path, b"".join(one.read_bytes() for one in lists if one.exists()))
        else:
            path.unlink(missing_ok=True)


def _merge_view(dataset: Dataset, shards: Sequence[PreparedDataset], name: str) -> None:
    compressor = shards[0].compressor(name)
    entries = [shard.manifest.compressed[name] for shard in shards]
    with dataset.making(compressor, shards[0].manifest.given(name)) as pending:
        for number, one in enumerate(pending):
            paths = [view_files(shard.layout, compressor)[number][0] for shard in shards]
            concatenate(paths, [entry.stored_views()[number] for entry in entries], one)


def _remove(shard: PreparedDataset) -> None:
    """Remove a shard, its manifest first: what is left then is no dataset."""
    layout = shard.layout
    stored = layout.own(stored.name for stored in shard.manifest.stored_files())
    for path in [layout.manifest, layout.skipped_lines, *stored]:
        with writing(path):
            path.unlink(missing_ok=True)
