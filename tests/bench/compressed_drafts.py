"""Could the model draft bytes in its own compressed language? A measurement; ``generate`` has no such draft.

    python tests/bench/compressed_drafts.py FOLDER        the folder of bench_drafts.py

From places of what the model writes as raw bytes behind the beginnings of held-out files (at temperature 0.8, for
greedily a small model soon repeats itself): it closes the raw view, opens the compressed one, writes some symbols, and
of the bytes that they stand for those count which it would have written raw. A symbol takes a pass, and so does the
check, which also writes a byte: k symbols give (kept + 1) bytes in k + 1 passes.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from bench_drafts import RUN, checkpoint_in, code
from harness import Row, report
from numpy.typing import NDArray

from megatron_proxy.compressors import Compressor
from megatron_proxy.data.dataset.opened import PreparedDataset
from megatron_proxy.model.checkpoint import open_checkpoint
from megatron_proxy.model.generation import Limits, Sampling, generate
from megatron_proxy.model.network import Architecture, ByteModel
from megatron_proxy.vocab import COMPRESSED_OPEN, RAW_CLOSE, RAW_OPEN, Vocabulary, raw_ids

MOST = 6
PLACES = {"at the beginning of a line": lambda before: before.endswith(b"\n"), "anywhere": lambda before: True}


def codes_after(model: ByteModel, text: bytes, count: int, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """The first codes of a compressed view opened after ``text``, greedily."""
    ids = torch.tensor([[RAW_OPEN, *raw_ids(text), RAW_CLOSE, COMPRESSED_OPEN]])
    cache, found = model.cache(1, ids.shape[1] + count), []
    while len(found) < count:
        found.append(int(model.extend(ids, cache)[0, 0, vocabulary.code_offset : vocabulary.size].argmax()))
        ids = torch.tensor([[found[-1] + vocabulary.code_offset]])
    return np.array(found)


def agreed(draft: bytes, text: bytes) -> int:
    """How many bytes of a draft a text begins with."""
    return next((at for at, pair in enumerate(zip(draft, text, strict=False)) if len(set(pair)) > 1), len(draft))


def tries(
    model: ByteModel, compressor: Compressor, prompt: bytes, written: bytes, room: int
) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """Text before each place of what was written, with (bytes proposed, bytes kept) of 1 to ``MOST`` symbols."""
    for at in range(len(written) - room):
        text = prompt + written[:at]
        codes = codes_after(model, text, MOST, compressor.vocabulary)
        drafts = [compressor.decode(codes[:count]) for count in range(1, MOST + 1)]
        yield text, [(len(draft), agreed(draft, written[at:])) for draft in drafts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--bytes", type=int, default=160, help="to write after each")
    parser.add_argument("--temperature", type=float, default=0.8)
    args = parser.parse_args()
    checkpoint = open_checkpoint(checkpoint_in(args.folder))
    model = ByteModel(Architecture.from_args(checkpoint.args), checkpoint.tensors)
    compressor = PreparedDataset.open(str(args.folder / "data" / "corpus")).compressor(RUN.partition(":")[2])
    found: dict[str, list[list[tuple[int, int]]]] = {name: [] for name in PLACES}
    limits, sampling = Limits(max_bytes=args.bytes), Sampling(args.temperature, seed=1)
    for prompt in code(args.folder, args.prompts, 240):
        (done,) = generate(model, [prompt], limits, sampling, sentinels=checkpoint.sentinels)
        for text, drafts in tries(model, compressor, prompt, done.text, room=32):
            for name, counts in PLACES.items():
                if counts(text):
                    found[name].append(drafts)
    rows = []
    for name, all_drafts in found.items():
        for count in range(1, MOST + 1):
            tried = [drafts[count - 1] for drafts in all_drafts]
            proposed, kept = (statistics.fmean(numbers) for numbers in zip(*tried, strict=True))
            passes = (kept + 1) / (count + 1)
            note = f"{kept / proposed:.0%} of {proposed:.1f} bytes kept, {len(tried)} places"
            rows.append(Row(f"{count} symbols {name}: bytes per pass", passes, "bytes", 1.0, None, note))
    report("compressed_drafts", rows, prompts=args.prompts, bytes=args.bytes, temperature=args.temperature)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
