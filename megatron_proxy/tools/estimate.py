"""What ``prepare`` would make of a corpus, told from its first megabytes: documents, symbols, sizes on disk, time.

The beginning of the corpus is read and encoded in this process, and the rest is taken to be like it. A compressor that
learns has learnt from the beginning alone; one that takes long to learn is passed over, and that is said. Nothing is
written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .. import compressors
from ..compressors import Compressor
from ..data.corpus import Source, bad_line, chunks, read_chunk, where
from ..data.corpus.decompress import STANDARD_INPUT
from ..data.dataset.reader import HEADER
from ..data.prepare import Job, Recipe
from ..data.prepare.learning import rows
from ..data.prepare.run import checked
from ..data.prepare.units import units_of
from ..errors import ConfigurationError, CorpusError
from ..vocab import Vocabulary

_READ_BYTES: Final = 4 << 20
_ENCODED_BYTES: Final = 1 << 20
_BYTES_PER_SEQUENCE: Final = 4 + 8 + 8


@dataclass(frozen=True)
class Beginning:
    """The first documents of a corpus for each key, and how long reading them took.

    ``share`` is the share of the corpus that they are, None if its size is not known; ``bad`` lines, rows or members
    were passed over.
    """

    documents: list[list[bytes]]
    share: float | None
    bad: int
    seconds: float


@dataclass(frozen=True)
class ViewEstimate:
    """A compressed view of the first documents."""

    vocabulary: Vocabulary
    codes: int
    source_bytes: int
    disk_bytes: int
    seconds: float


def estimate(job: Job, width: int) -> tuple[list[str], dict[str, Any]]:
    """What ``prepare`` would make: lines for people, and the same for programs.

    ``width`` is that of the model to tell the share of the ids' rows of.

    Raises
    ------
    ProxyError
        What ``prepare`` would say of the flags, or of the first documents.
    """
    if not job.has_corpus:
        raise ConfigurationError("there is nothing to look at", where="--dry-run", fix="name a corpus: --input")
    files = job.files()
    job = checked(job)
    kinds = dict(Counter(source.kind for source in files))
    found = _read(job, files)
    lines = [f"{kind}: {count:,} source{'s' * (count > 1)}" for kind, count in kinds.items()]
    datasets = [
        _of_dataset(job, job.dataset_prefix(key), documents, found, width, lines)
        for key, documents in zip(job.keys, found.documents, strict=False)
    ]
    if found.bad:
        lines.append(f"{found.bad:,} bad lines are passed over in the beginning")
    lines.append("nothing was written")
    return lines, {"kinds": kinds, "share_read": found.share, "datasets": datasets}


def _read(job: Job, files: Sequence[Source]) -> Beginning:
    """The first documents, some megabytes of them.

    Raises
    ------
    CorpusError
        A bad line, unless they are passed over; or no document at all.
    """
    begin = time.perf_counter()
    documents: list[list[bytes]] = [[] for _ in job.read_keys]
    disk = bad = size = 0
    whole = True
    for chunk in chunks(files, shard=job.shard or (0, 1)):
        parsed = read_chunk(chunk, job.read_keys)
        if parsed.bad and not job.skip_bad_lines:
            raise bad_line(where(chunk, parsed.bad[0]), parsed.bad[0], job.other_keys)
        bad += len(parsed.bad)
        for all_, these in zip(documents, parsed.documents, strict=True):
            all_ += these
        size += sum(map(len, parsed.documents[0]))
        disk += chunk.disk_bytes
        if size >= _READ_BYTES or len(documents[0]) >= (job.max_documents or len(documents[0]) + 1):
            whole = False
            break
    if not documents[0]:
        raise CorpusError("the corpus holds no documents", where="--input")
    seconds = time.perf_counter() - begin
    total = job.disk_bytes(files)
    share = 1.0 if whole else min(disk / total, 1.0) if total and disk else None
    if any(source.path == STANDARD_INPUT for source in files) and not whole:
        share = None
    if job.max_documents is not None:
        wanted = job.max_documents / len(documents[0])
        share = max(share or 0.0, min(1.0, 1 / wanted))
        documents = [one[: job.max_documents] for one in documents]
    return Beginning(documents, share, bad, seconds)


def _of_dataset(
    job: Job, prefix: str, documents: Sequence[bytes], found: Beginning, width: int, lines: list[str]
) -> dict[str, Any]:
    """What one key's dataset would be: told in ``lines``, and given back."""

    def tell(line: str) -> None:
        lines.append(f"{prefix}: {line}")

    size = sum(map(len, documents))
    tell(f"the first {len(documents):,} documents have {_megabytes(size)} of text")
    if found.share is None:
        scale = 1e9 / max(size, 1)
        tell("how large the corpus is cannot be known of standard input; what follows is per GB of text")
    else:
        scale = 1 / found.share
        tell(f"about {len(documents) * scale:,.0f} documents, {_megabytes(size * scale)} of text")
    disk = {"raw": size + _index_bytes(len(documents))}
    seconds = found.seconds
    views: dict[str, Any] = {}
    for recipe in job.recipes:
        view = _view(job, recipe, documents, found)
        if view is None:
            tell(f"the {recipe.name} compressor takes long to learn: its view cannot be told before")
            continue
        per_byte = size / max(view.source_bytes, 1)
        disk[recipe.name] = round(view.disk_bytes * per_byte)
        seconds += view.seconds * per_byte
        codes, bytes_per_code = view.codes * per_byte * scale, view.source_bytes / max(view.codes, 1)
        learnt = ", of a compressor that has learnt from these documents alone" * (recipe.made is None)
        tell(f"about {codes:,.0f} codes in the {recipe.name} view, {bytes_per_code:.2f} bytes per code{learnt}")
        tell(f"the {recipe.name} view has {rows(view.vocabulary, width)}")
        views[recipe.name] = {
            "codes": round(codes),
            "symbols": view.vocabulary.num_symbols,
            "ids": view.vocabulary.size,
            "bytes_per_code": bytes_per_code,
        }
    tell("on disk about " + ", ".join(f"{name} {_megabytes(count * scale)}" for name, count in disk.items()))
    workers = max(job.workers, 1)
    rate = size / max(seconds, 1e-9)
    tell(
        f"about {_clock(seconds * scale / workers)} (hours:minutes:seconds) with "
        f"{workers} worker{'s' * (workers > 1)}, at {rate / 1e6:,.1f} MB/s each, as measured here"
    )
    return {
        "prefix": prefix,
        "documents": round(len(documents) * scale),
        "bytes": round(size * scale),
        "disk_bytes": {name: round(count * scale) for name, count in disk.items()},
        "seconds": seconds * scale / workers,
        "views": views,
    }


def _view(job: Job, recipe: Recipe, documents: Sequence[bytes], found: Beginning) -> ViewEstimate | None:
    """The view of the first documents; None of a compressor that takes long to learn."""
    if recipe.made is None and not compressors.get(recipe.name).learns_quickly:
        return None
    sample = list(_first(documents, _ENCODED_BYTES))
    compressor: Compressor = recipe.make(lambda: iter(sample))
    # What is compiled or loaded at the first call is no part of the rate.
    units_of(compressor, sample[:1])
    begin = time.perf_counter()
    units = units_of(compressor, list(sample))
    seconds = time.perf_counter() - begin
    size = sum(map(len, sample))
    if job.given is not None and job.given.name == recipe.name:
        # Codes that are there are read once more.
        seconds = found.seconds * size / max(sum(map(len, documents)), 1)
    disk = sum(len(content) + _index_bytes(len(counts)) for content, counts in units)
    count = int(units[0][1].sum(dtype="int64"))
    return ViewEstimate(compressor.vocabulary, count, size, disk, seconds)


def _index_bytes(sequences: int) -> int:
    return HEADER.size + 8 + _BYTES_PER_SEQUENCE * sequences


def _first(documents: Sequence[bytes], size: int) -> Iterator[bytes]:
    """The first documents, as many as have about so many bytes."""
    for document in documents:
        yield document
        size -= len(document)
        if size <= 0:
            return


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
