"""How fast zstd views are made beside the bare library, on the same segments with the same settings.

    python examples/stdlib_corpus.py build/corpora/stdlib
    python tests/bench/zstd_speed.py build/corpora/stdlib

Processor time in one process, both sides in turn, the median of the ratios. Our side cuts the documents into segments;
the bare side calls ``ZstdCompressor.compress`` on segments that are cut already. gzip stands beside ``zlib.compress``.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from zstd_grid import read

from megatron_proxy.compressors.controls.gzip import GzipCompressor
from megatron_proxy.compressors.zstd.compressor import ZstdCompressor

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(ours: Callable[[], object], bare: Callable[[], object]) -> float:
    """The bare side's time ÷ ours: the median over rounds in which both run."""
    ours()
    return float(np.median([seconds(bare) / seconds(ours) for _ in range(ROUNDS)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train.jsonl")
    documents = [document for document in read(parser.parse_args().corpus / "train.jsonl") if document]
    held_out, train = documents[::16], documents[1::8]
    for form in ("matches", "bytes"):
        options = ZstdCompressor.all_options({"form": form})
        zstd = ZstdCompressor.build(options, lambda: iter(train))
        ends = [zstd.segmenter.ends(document) for document in held_out]
        segments = [
            [document[a:b] for a, b in zip([0, *cuts[:-1].tolist()], cuts.tolist(), strict=True)]
            for document, cuts in zip(held_out, ends, strict=True)
        ]

        def bare(context=zstd._context, segments=segments):
            return [[context.compress(segment) for segment in cut] for cut in segments]

        def ours(zstd=zstd):
            return list(zstd.encode_each(held_out))

        print(f"zstd, form {form}: {compare(ours, bare):.2f}")
    gzip = GzipCompressor.build({"level": 9}, lambda: iter(()))
    ratio = compare(lambda: list(map(gzip.encode, held_out)), lambda: [zlib.compress(one, 9) for one in held_out])
    print(f"gzip: {ratio:.2f}")


if __name__ == "__main__":
    main()
