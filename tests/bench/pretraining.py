"""Two training processes that are alike but for the flag: their data, their flags, and steps taken one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import tiny_data

from megatron_proxy.compressors.strings.trie import TrieCompressor
from megatron_proxy.vocab import EOS, raw_ids

ROOT = Path(__file__).parents[2]
SYMBOLS = 3_520
"""With specials and bytes 3,840 ids: a multiple of 128, so that nothing is padded."""
_CORPUS_BYTES = 1_500_000


@dataclass(frozen=True)
class Shape:
    """The model, and what it reads in a step."""

    layers: int = 4
    hidden: int = 256
    seq_length: int = 256
    micro_batch: int = 2
    micro_batches: int = 2
    heads: int = 4

    @property
    def flags(self) -> list[str]:
        """Megatron's flags for it, for a run whose length does not matter."""
        return (
            f"--num-layers {self.layers} --hidden-size {self.hidden} --num-attention-heads {self.heads} "
            f"--seq-length {self.seq_length} --max-position-embeddings {self.seq_length} "
            f"--micro-batch-size {self.micro_batch} --global-batch-size {self.micro_batch * self.micro_batches} "
            "--train-iters 2000 --lr 1e-4 --lr-decay-style constant --eval-iters 1 --eval-interval 100000 "
            "--log-interval 1 --split 99,1,0 --num-workers 0 "
            "--position-embedding-type rope --normalization RMSNorm --swiglu --disable-bias-linear "
            "--untie-embeddings-and-output-weights"
        ).split()


def stdlib_sources(total: int) -> list[bytes]:
    """Sources of Python's standard library, each a document, about ``total`` bytes of them."""
    documents: list[bytes] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        documents.append(path.read_bytes()[:40_000])
        if sum(map(len, documents)) >= total:
            break
    return documents


def write_data(folder: Path, documents: list[bytes] | None = None) -> tuple[Path, Path]:
    """A prepared prefix, and one dataset for stock with about the ids that it gives: nine of ten documents as codes.

    ``documents`` are by default some of the standard library's sources.
    """
    documents = documents or stdlib_sources(_CORPUS_BYTES)
    trie = TrieCompressor.build(TrieCompressor.all_options({"symbols": SYMBOLS}), lambda: iter(documents[::4]))
    ours, stock = folder / "ours", folder / "stock_document"
    tiny_data.prepare_with(ours, documents, trie)
    ids = [
        raw_ids(document) if number % 10 == 0 else trie.encode(document).astype(np.int64) + trie.vocabulary.code_offset
        for number, document in enumerate(documents)
    ]
    tiny_data._write(str(stock), [np.append(one, EOS) for one in ids], np.uint16)
    return ours, stock


def flags_of(side: str, data: tuple[Path, Path], cache: Path) -> list[str]:
    """What tells the two sides apart: where the ids come from."""
    ours, stock = data
    if side == "ours":
        return ["--data-path", str(ours), "--proxy-compression", "trie", "--data-cache-path", str(cache)]
    size = 320 + SYMBOLS
    return [
        *("--data-path", str(stock), "--data-cache-path", str(cache)),
        *("--tokenizer-type", "NullTokenizer", "--vocab-size", str(size - 1)),
    ]


class Training:
    """A training process that does one iteration at a time, or as many as ``iterations``."""

    def __init__(self, flags: Sequence[str], folder: Path, *, iterations: int = 1) -> None:
        told, tell = os.pipe()
        turn, give = os.pipe()
        folders = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        child = {"OMP_NUM_THREADS": "1", "PYTHONPATH": folders, "BENCH_TELL": str(tell), "BENCH_TURN": str(turn)}
        child["BENCH_ITERATIONS"] = str(iterations)
        self._log = (folder / f"log-{tell}-{time.monotonic_ns()}.txt").open("w+")
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "megatron_proxy.adaptor.cpu"),
                *(str(Path(__file__).parent / "step_by_step.py"), *flags),
            ],
            env={**os.environ, **child},
            pass_fds=(tell, turn),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        os.close(tell)
        os.close(turn)
        self._told, self._give = os.fdopen(told), give
        self.started: dict[str, float] = self._read()
        """``started_cpu_s`` and ``started_wall_s`` until the first iteration, and the model's ``parameters``."""
        self.started["started_wall_s"] = time.perf_counter() - begin

    def _read(self) -> dict[str, Any]:
        line = self._told.readline()
        if not line:
            raise SystemExit(f"the training process has ended:\n{self.log()[-4000:]}")
        message: dict[str, Any] = json.loads(line)
        return message

    def log(self) -> str:
        """What the process has printed."""
        self._log.seek(0)
        return self._log.read()

    def step(self, *, watched: bool = False) -> dict[str, Any]:
        """One turn: ``cpu_s``, ``wall_s``, ``peak_bytes``; ``watched``: also ``waits``, of each iteration by place."""
        os.write(self._give, b"w" if watched else b"x")
        return self._read()

    def close(self) -> None:
        """End the process: it sees that nobody will give it a turn."""
        os.close(self._give)
        self._process.wait()
        self._told.close()
        self._log.close()
