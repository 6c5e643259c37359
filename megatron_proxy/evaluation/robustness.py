"""How much worse a model predicts a text whose beginning was perturbed.

Each document is parted into a prompt (its first half, up to a line's end) and a rest. Told are BPB and the share of
next bytes that are right, over the bytes of the rest alone, given the clean prompt and given each perturbed one. The
rest is never changed: all figures are over the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ..errors import CorpusError
from ..vocab import RAW_OPEN, bits_per_byte, raw_ids
from .perturbations import apply
from .scoring import Scored, Scorer, Segment, Tally
from .windows import Stream

CLEAN: Final = "clean"


def parted(content: bytes) -> tuple[bytes, bytes]:
    """Prompt and rest: the last line end in the first half parts them, or the middle if there is none."""
    middle = len(content) // 2
    cut = content.rfind(b"\n", 0, middle) + 1 or middle
    # Not inside a character.
    while cut < len(content) and content[cut] & 0xC0 == 0x80:
        cut += 1
    return content[:cut], content[cut:]


def measure(
    documents: Sequence[bytes], names: Sequence[str], scorer: Scorer, *, rate: float = 0.05, seed: int = 0
) -> dict[str, Tally]:
    """Score the documents' second halves behind clean and perturbed prompts; tallies by perturbation.

    Raises
    ------
    CorpusError
        If no document has a second half.
    """
    tallies = {name: Tally() for name in (CLEAN, *names)}
    scorer.score(_streams(documents, tallies, rate, seed))
    if tallies[CLEAN].source_bytes == 0:
        raise CorpusError("there is nothing to evaluate: no document holds a byte", where="--input")
    return tallies


def scored_bytes(documents: Sequence[bytes], names: Sequence[str], *, rate: float = 0.05, seed: int = 0) -> int:
    """How many bytes :func:`measure` scores, each as often as it is scored."""
    tallies = {name: Tally() for name in (CLEAN, *names)}
    return sum(segment.size for one in _streams(documents, tallies, rate, seed) for segment in one.segments)


def _streams(documents: Iterable[bytes], tallies: dict[str, Tally], rate: float, seed: int) -> Iterator[Scored]:
    for number, content in enumerate(documents):
        prompt, rest = parted(content)
        for name, tally in tallies.items():
            read = prompt if name == CLEAN else apply(name, prompt, rate, seed, number)
            tally.documents += 1
            tally.source_bytes += len(rest)
            stream = Stream(raw_ids(read + rest), RAW_OPEN)
            yield Scored(stream, [Segment(len(read), len(read) + len(rest), tally)])


def figures(tallies: dict[str, Tally]) -> dict[str, dict[str, Any]]:
    """BPB and accuracy by perturbation, with the differences to the clean prompts; JSON-able."""
    clean = tallies[CLEAN]
    clean_bpb = bits_per_byte(clean.nats, clean.source_bytes) or 0.0
    clean_accuracy = clean.correct / max(1, clean.targets)
    found = {}
    for name, tally in tallies.items():
        bpb = bits_per_byte(tally.nats, tally.source_bytes) or 0.0
        accuracy = tally.correct / max(1, tally.targets)
        found[name] = {
            "bytes": tally.source_bytes,
            "bpb": bpb,
            "bpb_added": bpb - clean_bpb,
            "accuracy": accuracy,
            "accuracy_lost": clean_accuracy - accuracy,
        }
    return found


def as_table(found: dict[str, dict[str, Any]]) -> str:
    """The figures as a table."""
    width = max(map(len, found))
    lines = [f"{'prompt':<{width}}  {'bytes':>12}  {'BPB':>7}  {'added':>8}  {'next byte right':>15}  {'lost':>7}"]
    for name, one in found.items():
        lines.append(
            f"{name:<{width}}  {one['bytes']:>12,}  {one['bpb']:>7.4f}  {one['bpb_added']:>+8.4f}  "
            f"{one['accuracy']:>15.2%}  {one['accuracy_lost']:>+7.2%}"
        )
    return "\n".join(lines)
