"""The model of bench_drafts.py, trained on spans that end behind any code; ``prepare`` ends them at lines.

    python tests/bench/spans_anywhere.py build/bench/anywhere [--steps 2000]
    python tests/bench/compressed_drafts.py build/bench/anywhere

Would it draft better in its own compressed language if views could change anywhere in training? Codes, model and steps
are those of bench_drafts.py, and spans are as long in the mean; both views' bits per byte are told by

    megatron-proxy evaluate --load FOLDER/runs/interleaved-sentencepiece/checkpoint --data-prefix FOLDER/data/corpus \\
        --input FOLDER/corpus/held_out.jsonl --max-documents 40 --view raw
"""

from __future__ import annotations

import argparse
import shutil
import zlib
from pathlib import Path

import numpy as np
from bench_drafts import RUN, compare_sh, train

from megatron_proxy import cli
from megatron_proxy.compressors.base import Encoded
from megatron_proxy.compressors.tokenizers.tokens import TokenCompressor

MEAN_CODES = 56


def encode_spans(compressor: TokenCompressor, document: bytes) -> Encoded:
    """The codes of a document, cut at random, the same way each time."""
    codes = compressor.encode(document)
    drawn = np.random.default_rng(zlib.crc32(document)).geometric(1 / MEAN_CODES, size=len(codes))
    ends = np.cumsum(drawn)
    ends = np.append(ends[ends < len(codes)], len(codes)) if len(codes) else ends
    return Encoded(codes, np.cumsum(compressor.strings.sizes_of(codes))[ends - 1], ends)


def prepare(folder: Path, steps: int) -> None:
    """The views of examples/compare.sh, made again with other spans."""
    done = folder / "prepared-anywhere"
    if done.exists():
        return
    compare_sh(folder, "prepare", STEPS=str(steps))
    data, beside = folder / "data", folder / "data-anywhere"
    TokenCompressor.encode_spans = encode_spans  # type: ignore[method-assign]
    files = ["--input", str(folder / "corpus" / "train.jsonl"), "--output-prefix", str(beside / "corpus")]
    flags = ["--compressor", RUN.partition(":")[2], "--compressor-from", str(data / "corpus"), "--workers", "0"]
    if cli.main(["prepare", *files, *flags]) != 0:
        raise SystemExit("the corpus cannot be prepared")
    shutil.rmtree(data)
    beside.rename(data)
    done.touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    prepare(args.folder, args.steps)
    print(train(args.folder, args.steps, documents=2))


if __name__ == "__main__":
    main()
