"""What compiling the language model buys: ``neural`` and ``neural-ac`` against the model with an arithmetic coder.

    python examples/stdlib_corpus.py build/corpora/stdlib
    python tests/bench/bench_neural.py build/corpora/stdlib --checkpoint build/compressors/stdlib/neural.checkpoint

All sides run in one process on one core, over the same held-out text, and speed is of processor time. The reference
path is what :mod:`megatron_proxy.compressors.byte_lm.windows` does to check the trie: the model, one byte at a time,
and the coder.
"Model alone" is only the model's forward pass over 256 segments side by side, which no path with a model in it
can beat. Without the checkpoint (a finished training's) the model is trained for ``--steps`` steps first; the speeds
do not depend on what it has learnt.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

from slow_windows import reference_codes

from megatron_proxy.compressors.byte_lm.network import LmPredictor
from megatron_proxy.compressors.byte_lm.neural_ac import NeuralAcCompressor
from megatron_proxy.compressors.byte_lm.training import Sample, train
from megatron_proxy.compressors.sample import sample
from megatron_proxy.compressors.segments.segmenter import Segmenter, SegmentKind
from megatron_proxy.compressors.strings.enumerate_strings import compile_most_probable, compile_windows
from megatron_proxy.compressors.strings.longest_match import num_candidates, segmented
from megatron_proxy.compressors.strings.neural import NeuralCompressor, NeuralOptions
from megatron_proxy.compressors.strings.neural_options import _lm_settings, _starts
from megatron_proxy.compressors.strings.string_set import ranked
from megatron_proxy.vocab import NUM_BYTES

SYMBOLS, LONGEST, BITS = 65_280, 64, 16


def read(path: Path) -> list[bytes]:
    """The documents of a .jsonl file."""
    return [json.loads(line)["text"].encode() for line in path.open(encoding="utf-8")]


def speed(work, size: int, passes: int = 3) -> float:
    """MB/s of processor time, the best of some passes."""
    best = float("inf")
    for _ in range(passes):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return size / best / 1e6


def forward(model: torch.nn.Module, segments: list[bytes]) -> None:
    """The model's forward pass over segments side by side, padded to the longest."""
    length = max(map(len, segments))
    ids = np.zeros((len(segments), length), dtype=np.int64)
    for row, segment in enumerate(segments):
        ids[row, : len(segment)] = np.frombuffer(segment, np.uint8)
    with torch.no_grad():
        model(torch.from_numpy(ids))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train.jsonl and held_out.jsonl")
    parser.add_argument("--checkpoint", type=Path, help="a finished training with default settings on this corpus")
    parser.add_argument("--steps", type=int, default=100, help="steps to train where there is no checkpoint")
    parser.add_argument("--reference-bytes", type=int, default=2_000, help="text for the reference path")
    args = parser.parse_args()
    torch.set_num_threads(1)

    segmenter = Segmenter(SegmentKind.LINES, 512)
    data, ends = segmented(sample(lambda: iter(read(args.corpus / "train.jsonl")), 64 << 20), segmenter)
    starts = _starts(data, ends, 1)
    options = NeuralOptions() if args.checkpoint else NeuralOptions(steps=args.steps)
    model = train(Sample(data, ends, starts), _lm_settings(options, "neural"), print, args.checkpoint)
    held_out = read(args.corpus / "held_out.jsonl")
    size = sum(map(len, held_out))
    text, text_ends = segmented(held_out, segmenter)
    borders = np.flatnonzero(text_ends <= args.reference_bytes)
    cut = [0, *text_ends[borders].tolist()]
    segments = [text[begin:end].tobytes() for begin, end in itertools.pairwise(cut)]
    few = text_ends[:256].tolist()
    many = [text[begin:end].tobytes() for begin, end in itertools.pairwise([0, *few])]
    model_alone = speed(lambda: forward(model.float(), many), sum(map(len, many)))

    predictor = LmPredictor(model)
    begin = time.perf_counter()
    candidates = num_candidates(SYMBOLS, options.candidates)
    compiled = compile_most_probable(predictor, candidates, LONGEST, edits=options.edits)
    trie = ranked(compiled.parents, compiled.labels, compiled.widths[NUM_BYTES:], candidates)
    neural = NeuralCompressor.chosen(trie, SYMBOLS, options.ends == "words", (data, ends), segmenter)
    seconds = time.perf_counter() - begin
    print(f"compiling neural: {seconds:.1f} s, {neural.num_symbols:,} symbols of {len(trie):,} strings")
    begin = time.perf_counter()
    neural_ac = NeuralAcCompressor.of_windows(compile_windows(predictor, BITS, LONGEST), BITS, segmenter)
    print(f"compiling neural-ac: {time.perf_counter() - begin:.1f} s, {len(neural_ac.trie):,} windows")

    codes: list[int] = []
    reference = speed(
        lambda: codes.extend(c for s in segments for c in reference_codes(s, predictor, BITS, LONGEST)), cut[-1], 1
    )
    windows, _ = neural_ac._walker.encode(text[: cut[-1]], text_ends[borders], whole=True)
    same = windows.tolist() == codes
    print(f"the reference path and neural-ac make the same {len(codes):,} codes: {'yes' if same else 'NO'}")
    neural.encode(held_out[0])
    neural_ac.encode(held_out[0])
    print("\n| path | MB/s per core | times the reference path | times the model alone |\n| --- | --- | --- | --- |")
    for name, rate in (
        ("reference: model and coder", reference),
        ("model alone, 256 segments", model_alone),
        ("neural", speed(lambda: [neural.encode(document) for document in held_out], size)),
        ("neural-ac", speed(lambda: [neural_ac.encode(document) for document in held_out], size)),
    ):
        print(f"| {name} | {rate:.4g} | {rate / reference:,.0f} | {rate / model_alone:,.0f} |")


if __name__ == "__main__":
    main()
