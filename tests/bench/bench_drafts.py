"""Writing with drafts beside writing without, in one run: passes, bytes per second, and the share of drafts kept.

    python tests/bench/bench_drafts.py [--quick] [--steps 2000] [--folder build/bench/drafts]
    python tests/bench/bench_drafts.py --load checkpoints/run        a model of your own

Trains a model with ``interleaved`` by examples/compare.sh and drafts.env, once for a folder, and goes on from held-out
code (files of the standard library that it was not trained on) and prose (this repository's docs), greedily and at
temperature 0.8. Every side must write the same bytes. Sides take turns, prompt by prompt; times are of the processor,
one thread. What drafts cost that are all wrong is told from the quickest of some turns for each prompt: it is a few
parts in a hundred, and other work on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from harness import Row, report

from megatron_proxy.compressors.strings.trie import TrieCompressor
from megatron_proxy.model.checkpoint import open_checkpoint
from megatron_proxy.model.generation import Draft, Drafting, First, Limits, Lookup, Sampling, Strings, generate
from megatron_proxy.model.network import Architecture, ByteModel

ROOT = Path(__file__).parents[2]
RUN = "interleaved:sentencepiece"
LENGTHS = (4, 8, 16, 32)
USUAL = 16
TURNS = 5
"""With drafts in vain, and without, for each prompt."""


class InVain:
    """Proposes what no model of text would write."""

    def propose(self, context: bytes, most: int) -> bytes:
        """Bytes that no text holds."""
        return b"\xff" * most


@dataclass
class Side:
    """One way to write, and what it took."""

    name: str
    draft: Draft | None
    most: int = USUAL
    by_model: bool = False
    seconds: float = 0.0
    passes: int = 0
    bytes: int = 0
    proposed: int = 0
    accepted: int = 0
    texts: list[bytes] = field(default_factory=list)

    def write(self, model: ByteModel, prompt: bytes, limits: Limits, sampling: Sampling, sentinels: bool) -> None:
        """Go on from a prompt."""
        drafting = Drafting(self.draft, self.most, self.by_model) if self.draft or self.by_model else None
        begin = time.process_time()
        (done,) = generate(model, [prompt], limits, sampling, sentinels=sentinels, drafting=drafting)
        self.seconds += time.process_time() - begin
        self.texts.append(done.text)
        self.bytes += len(done.text)
        # Without drafts a pass is a byte, or the end.
        self.passes += drafting.passes if drafting else len(done.text) + (done.reason == "end")
        self.proposed += drafting.proposed if drafting else 0
        self.accepted += drafting.accepted if drafting else 0


def train(folder: Path, steps: int, documents: int) -> Path:
    """The checkpoint in ``folder``, trained if it is not there."""
    compare_sh(folder, RUN, STEPS=str(steps), MAX_DOCUMENTS=str(documents))
    return checkpoint_in(folder)


def compare_sh(folder: Path, part: str, **settings: str) -> None:
    """Let examples/compare.sh do a part of its work."""
    command = [str(ROOT / "examples/compare.sh"), str(ROOT / "tests/bench/drafts.env"), str(folder), part]
    subprocess.run(command, check=True, env={**os.environ, **settings, "PYTHON": sys.executable})


def checkpoint_in(folder: Path) -> Path:
    """Where the model of a folder is."""
    return folder / "runs" / RUN.replace(":", "-") / "checkpoint"


def code(folder: Path, count: int, size: int) -> list[bytes]:
    """Beginnings of held-out files, each up to the end of a line."""
    lines = _corpus(folder, "held_out").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"].encode() for line in lines]
    return [_cut(text, size) for text in texts if len(text) > 2 * size][:count]


def _corpus(folder: Path, part: str) -> Path:
    """One of the two files of examples/stdlib_corpus.py."""
    path = folder / "corpus" / f"{part}.jsonl"
    if not path.exists():
        subprocess.run([sys.executable, str(ROOT / "examples/stdlib_corpus.py"), str(path.parent)], check=True)
    return path


def prose(count: int, size: int) -> list[bytes]:
    """Beginnings of sections of the docs."""
    pages = [path.read_bytes() for path in sorted((ROOT / "docs").glob("*.md"))]
    sections = [section for page in pages for section in page.split(b"\n## ")[1:] if len(section) > 2 * size]
    return [_cut(section, size) for section in sections[:: max(1, len(sections) // count)]][:count]


def _cut(text: bytes, size: int) -> bytes:
    return text[: text.rfind(b"\n", 0, size) + 1 or size]


def learned(folder: Path, documents: int) -> Strings:
    """The strings of some files that the model was trained on, or the like of them."""
    with _corpus(folder, "train").open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"].encode() for line in itertools.islice(file, documents)]
    return Strings(TrieCompressor.build(TrieCompressor.all_options({"symbols": 1 << 15}), lambda: iter(texts)).trie)


def sides_of(strings: Strings, looks_ahead: bool) -> list[Side]:
    """All ways to write, the one without drafts first."""
    drafts = {"lookup": Lookup(), "strings": First((Lookup(), strings))}
    sides = [Side(f"{name} {most}", draft, most) for name, draft in drafts.items() for most in LENGTHS]
    if looks_ahead:
        sides += [Side(f"mtp {most}", Lookup(least=8), most, by_model=True) for most in LENGTHS]
        sides += [Side(f"mtp without lookup {USUAL}", None, by_model=True)]
    return [Side("none", None), *sides]


def take_turns(
    model: ByteModel, sides: list[Side], prompts: list[bytes], limits: Limits, sampling: Sampling, sentinels: bool
) -> None:
    """Let all sides go on from the prompts; all must write the same."""
    for number, prompt in enumerate(prompts):
        for turn in range(len(sides)):
            sides[(number + turn) % len(sides)].write(model, prompt, limits, sampling, sentinels)
    if any(side.texts != sides[0].texts for side in sides):
        raise SystemExit("with drafts other bytes are written than without")


def in_vain(
    model: ByteModel, prompts: list[bytes], limits: Limits, sampling: Sampling, sentinels: bool
) -> tuple[float, float]:
    """Seconds with drafts that are all wrong, and without, in the quickest turns."""
    with_drafts, without = 0.0, 0.0
    for prompt in prompts:
        turns: dict[bool, list[Side]] = {True: [], False: []}
        for number in range(2 * TURNS):
            drafts = number % 2 == 0
            side = Side("in vain", InVain() if drafts else None)
            side.write(model, prompt, limits, sampling, sentinels)
            turns[drafts].append(side)
        with_drafts += min(side.seconds for side in turns[True])
        without += min(side.seconds for side in turns[False])
    return with_drafts, without


def rows_of(how: str, sides: list[Side], goal: str | None) -> list[Row]:
    """The comparisons of one kind of prompts at one temperature."""
    none, *others = sides
    rows = []
    for side in others:
        share = side.accepted / max(1, side.proposed)
        per_pass = side.bytes / side.passes, none.bytes / none.passes
        note = f"{share:.0%} of {side.proposed:,} bytes kept"
        usual = goal if side.most == USUAL else None
        rows.append(Row(f"{side.name}, {how}: bytes per pass ÷ none", per_pass[0], "bytes", per_pass[1], usual, note))
        speeds = side.bytes / side.seconds, none.bytes / none.seconds
        rows.append(Row(f"{side.name}, {how}: bytes per second ÷ none", speeds[0], "bytes/s", speeds[1]))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="30 steps on a part of the corpus, few prompts")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where the model is trained, or was (build/bench/drafts-STEPS)")
    parser.add_argument("--load", type=Path, help="a checkpoint, in place of training one")
    parser.add_argument("--prompts", type=int, default=12, help="of each kind")
    parser.add_argument("--bytes", type=int, default=240, help="to write after each")
    args = parser.parse_args()
    if args.quick:
        args.steps, args.prompts, args.bytes = 30, 2, 60
    folder = args.folder or Path(f"build/bench/drafts-{args.steps}")
    checkpoint = open_checkpoint(args.load or train(folder, args.steps, 150 if args.quick else 700))
    model = ByteModel(Architecture.from_args(checkpoint.args), checkpoint.tensors)
    size = min(240, model.architecture.context // 2)
    kinds = {"code": code(folder, args.prompts, size), "prose": prose(args.prompts, size)}
    strings = learned(folder, 40 if args.quick else 300)
    generate(model, [b"x"], Limits(max_bytes=8))
    rows = []
    for kind, prompts in kinds.items():
        for temperature in (0.0, 0.8):
            sides = sides_of(strings, model.architecture.looks_ahead)
            limits, sampling = Limits(max_bytes=args.bytes), Sampling(temperature, seed=1)
            take_turns(model, sides, prompts, limits, sampling, checkpoint.sentinels)
            how = f"{kind}, {'greedy' if temperature == 0 else f'temperature {temperature}'}"
            rows += rows_of(how, sides, ">= 2" if kind == "code" and temperature == 0 else None)
            seconds = in_vain(model, prompts, limits, sampling, checkpoint.sentinels)
            rows.append(Row(f"drafts in vain, {how}: seconds ÷ none", seconds[0], "s", seconds[1], "<= 1.03"))
    report("drafts", rows, steps=args.steps, prompts=args.prompts, bytes=args.bytes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
