"""What to prepare: the flags of ``megatron-proxy prepare``, checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ... import compressors
from ...common import jit
from ...common.progress import DEFAULT_LOG_INTERVAL
from ...errors import ConfigurationError, check_count
from ..corpus import AS_THEY_ARE, DEFAULT_KEY, Source, Taking, expand
from ..corpus.chunk import LINES
from ..corpus.decompress import STANDARD_INPUT
from ..dataset.layout import Layout
from .recipe import Recipe

if TYPE_CHECKING:
    # Its documents are encoded by what this room has.
    from ..tokens import TokenCorpus


@dataclass(frozen=True)
class Job:
    """What to prepare.

    Parameters
    ----------
    prefix
        The prefix of the dataset; with several keys ``PREFIX_<key>`` for each.
    inputs
        Paths and globs; none to take the documents of the raw view that is there.
    recipes
        The compressors; none to write the raw view only.
    keys
        The JSON keys.
    compressed_key
        The key of codes that another tool has made, which every line must have as well.
    workers
        Worker processes; 0 works in this process.
    partitions
        Parts that are finished one after the other, so that an interrupted run loses one part at most.
    shard
        (i, n): prepare only the i-th of n shards, as a dataset of its own.
    max_documents
        Take the first so many documents only.
    taking
        How inputs are read that do not say it themselves.
    given
        The corpus, in place of inputs, where its documents have the codes of one of the compressors already.
    skip_bad_lines
        Count and list bad lines instead of ending with an error.
    overwrite
        Replace what is there and differs.
    log_interval
        Documents between two lines of progress.
    report
        Where the results are told.

    Raises
    ------
    ConfigurationError
        A number out of range, or flags that do not go together.
    """

    prefix: str
    inputs: Sequence[str] = ()
    recipes: Sequence[Recipe] = ()
    keys: Sequence[str] = (DEFAULT_KEY,)
    compressed_key: str | None = None
    workers: int = 1
    partitions: int = 1
    shard: tuple[int, int] | None = None
    max_documents: int | None = None
    taking: Taking = AS_THEY_ARE
    given: TokenCorpus | None = None
    skip_bad_lines: bool = False
    overwrite: bool = False
    log_interval: int = DEFAULT_LOG_INTERVAL
    report: Callable[[str], None] = field(default=print)

    def __post_init__(self) -> None:
        if os.path.basename(self.prefix) in ("", ".", ".."):
            raise ConfigurationError(
                f"{self.prefix!r} names no files", where="--output-prefix", fix="give a prefix such as data/corpus"
            )
        check_count(self.workers, "--workers", least=0)
        check_count(self.partitions, "--partitions")
        check_count(self.log_interval, "--log-interval")
        check_count(self.max_documents, "--max-documents")
        for flag, names in [("--json-keys", self.keys), ("--compressor", [recipe.name for recipe in self.recipes])]:
            if len(set(names)) < len(names):
                raise ConfigurationError(f"something is named twice: {', '.join(names)}", where=flag)
        if self.given is not None and self.inputs:
            raise ConfigurationError(
                "the corpus is that of --input-tokens", where="--input", fix="prepare each to a prefix of its own"
            )
        self._check_shard()

    def _check_shard(self) -> None:
        if self.shard is None:
            return
        index, count = self.shard
        if not 0 <= index < count:
            raise ConfigurationError(f"there is no shard {index} of {count}: they count from 0", where="--shard")
        if self.max_documents is not None:
            raise ConfigurationError("a shard does not know how many documents come before it", where="--max-documents")
        if STANDARD_INPUT in self.inputs:
            raise ConfigurationError("shards cannot share standard input", where="--input -", fix="write it to a file")

    @property
    def worker_modules(self) -> list[str]:
        """The modules that its workers will need."""
        kinds = [type(recipe.made) if recipe.made else compressors.get(recipe.name) for recipe in self.recipes]
        return [*(kind.__module__ for kind in kinds), jit.READY] if kinds else []

    @property
    def has_corpus(self) -> bool:
        """Whether there is a corpus to take documents from, and not only the raw view that is there."""
        return bool(self.inputs) or self.given is not None

    def given_to(self, name: str) -> TokenCorpus | None:
        """The corpus whose documents have the codes of a compressor already, if it is one."""
        return self.given if self.given is not None and self.given.name == name else None

    def files(self) -> Sequence[Source]:
        """The corpus; a CorpusError for a file that is missing, or is no JSONL."""
        return expand(self.inputs, self.taking) if self.given is None else self.given.sources

    def disk_bytes(self, files: Sequence[Source]) -> int:
        """About how many bytes on disk the corpus takes up, or what is taken of it."""
        return sum(file.size for file in files) // (1 if self.shard is None else self.shard[1])

    @property
    def other_keys(self) -> dict[str, str]:
        """The JSON keys that every line must have besides, each with the flag that asks for it."""
        return {} if self.compressed_key is None else {self.compressed_key: "--compressed-key"}

    @property
    def read_keys(self) -> list[str]:
        """All keys that are read, those of documents first."""
        return [*self.keys, *self.other_keys]

    @property
    def shown_prefix(self) -> str:
        """The prefix, with the shard's name, but without a key's."""
        return self.prefix if self.shard is None else Layout(self.prefix).shard(*self.shard).prefix

    def dataset_prefix(self, key: str) -> str:
        """The prefix of the dataset of one key."""
        prefix = self.prefix if len(self.keys) == 1 else f"{self.prefix}_{key}"
        return prefix if self.shard is None else Layout(prefix).shard(*self.shard).prefix

    def source(self, files: Sequence[Source], key: str, skipped: int, left_out: Mapping[str, int]) -> dict[str, Any]:
        """What the manifest says of where the documents came from, and of what was taken where there was a choice."""
        source: dict[str, Any] = {
            "inputs": [os.path.basename(os.path.normpath(file.path)) for file in files],
            "json_key": key,
            "max_documents": self.max_documents,
            "skipped_lines": skipped,
        }
        if any(file.kind != LINES for file in files):
            source["kinds"] = [file.kind for file in files]
        source |= {name: value for name, value in asdict(self.taking).items() if value is not None}
        if left_out:
            source["left_out"] = dict(sorted(left_out.items()))
        return source if self.shard is None else {**source, "shard": list(self.shard)}
