"""What the benchmarks of ``prepare`` share: the corpus, compressors that have learnt from it, whole commands timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from megatron_proxy import compressors
from megatron_proxy.compressors import Compressor

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

COMMAND: Final = [sys.executable, "-m", "megatron_proxy", "prepare", "--log-interval", "100000000"]
_TIMEOUT: Final = 300


@dataclass(frozen=True)
class Bench:
    """The corpus and where to work."""

    folder: Path
    corpus: Path
    documents: list[bytes]
    turns: int

    @property
    def megabytes(self) -> float:
        return sum(map(len, self.documents)) / 1e6


def make_bench(folder: Path, quick: bool, turns: int) -> Bench:
    """The corpus: all of the standard library, or 3 MB of it."""
    from stdlib_corpus import write

    write(folder, max_documents=200 if quick else None)
    corpus = folder / "train.jsonl"
    documents = [json.loads(line)["text"].encode("utf-8", "surrogateescape") for line in corpus.open()]
    return Bench(folder, corpus, documents, turns)


def built(name: str, bench: Bench, **options: Any) -> Compressor:
    """A compressor that has learnt from the corpus."""
    kind = compressors.get(name)
    return kind.build(kind.all_options(options), lambda: iter(bench.documents))


def segments_of(compressor: Any, document: bytes) -> list[bytes]:
    """The segments of a document, as the compressor cuts it."""
    ends = compressor.segmenter.ends(document).tolist()
    return [document[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def repeated(bench: Bench, path: Path, size: float) -> Path:
    """A corpus of about ``size`` bytes: the corpus over and over."""
    content = bench.corpus.read_bytes()
    with path.open("wb") as file:
        for _ in range(max(round(size / len(content)), 1)):
            file.write(content)
    return path


def wall_seconds(command: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Of a whole command.

    Raises
    ------
    SystemExit
        If it fails or hangs, with what it said.
    """
    begin = time.perf_counter()
    environment = {**os.environ, **(env or {})}
    try:
        # Megatron's tool waits for ever when one of its processes has failed.
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"{' '.join(command)}\nhas not ended after {_TIMEOUT} s\n{error.stderr}") from error
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


_TIMES: Final = 4


def corpora(bench: Bench) -> tuple[Path, Path]:
    """The corpus four times, and once."""
    return repeated(bench, bench.folder / "several.jsonl", _TIMES * bench.corpus.stat().st_size), bench.corpus


def seconds_of(bench: Bench, command: list[str]) -> tuple[float, float]:
    """Wall time of a command that takes ``--input``: over the corpus four times, and over the corpus once."""
    env = {"PYTHONPATH": "", "TOKENIZERS_PARALLELISM": "false"}
    several, once = (wall_seconds([*command, "--input", str(path)], env) for path in corpora(bench))
    return several, once


def rate_between(bench: Bench, several: float, once: float) -> float:
    """MB per second, from the seconds that :func:`corpora` take.

    The difference has no start in it (imports, compiling), which would count for more than the work.
    """
    return (_TIMES - 1) * bench.megabytes / (several - once)


def rate_of(bench: Bench, command: list[str]) -> float:
    """MB per second of wall time of a command that takes ``--input``, without its start."""
    return rate_between(bench, *seconds_of(bench, command))


def median_pair(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The pair of rates (ours, the peer's) whose ratio is the median; of two, the lower one."""
    return sorted(pairs, key=lambda pair: pair[0] / pair[1])[(len(pairs) - 1) // 2]
