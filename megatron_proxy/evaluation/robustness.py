"""How much worse a model predicts a text whose beginning was perturbed.

Each document is parted into a prompt (its first half, up to a line's end) and a rest. Told are BPB and the share of
next bytes that are right, over bytes of the rest alone, given the clean prompt and given each perturbed one. The rest
is never changed: all figures are over the same bytes.

Scored is the beginning of the rest only, as many bytes as a perturbation can reach: the first ``context - stride``. A
window ends after each ``stride`` of them, and so begins at least a stride before the rest, inside the prompt. Bytes
further on would be read without any of the prompt, and make every model look robust. Windows are counted from where the
rest begins, so that each of its bytes has the same window behind every prompt, whatever a perturbation did to the
prompt's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..common.characters import cuts
from ..errors import ConfigurationError, CorpusError
from ..vocab import EOS, RAW_OPEN, bits_per_byte, raw_ids
from .perturbations import apply
from .scoring import Scored, Scorer, Segment, Tally
from .windows import IdStream

CLEAN: Final = "clean"


def parted(content: bytes) -> tuple[bytes, bytes]:
    """Prompt and rest: the last line end in the first half parts them, or the middle if there is none."""
    middle = len(content) // 2
    cut = content.rfind(b"\n", 0, middle) + 1 or middle
    while cuts(content, cut):
        cut += 1
    return content[:cut], content[cut:]


@dataclass
class Measured:
    """What was scored.

    Parameters
    ----------
    tallies
        By prompt: :data:`CLEAN`, and the name of each perturbation.
    changed
        By perturbation: in how many documents it changed what is read before the bytes scored.
    rest_bytes
        Bytes of the rests, whether or not they were scored.
    """

    tallies: dict[str, Tally]
    changed: dict[str, int]
    rest_bytes: int = 0

    @property
    def scored_bytes(self) -> int:
        """Bytes scored, behind each prompt."""
        return self.tallies[CLEAN].source_bytes


def measure(
    documents: Sequence[bytes],
    names: Sequence[str],
    scorer: Scorer,
    *,
    rate: float = 0.05,
    seed: int = 0,
    sentinels: bool = True,
) -> Measured:
    """Score what follows the documents' first halves, behind clean and perturbed ones.

    ``sentinels`` tells whether the model knows them (not if it was trained in mode ``vanilla``).

    Raises
    ------
    ConfigurationError
        If the stride is the context: then windows hold nothing of a prompt.
    CorpusError
        If no document has a byte that a perturbation could reach, or none of the perturbations changed anything.
    """
    if scorer.stride >= scorer.context:
        raise ConfigurationError(
            f"windows of {scorer.context} bytes that move on by as many hold nothing of a perturbed prompt",
            where="--stride",
            fix=f"give less, such as {max(1, scorer.context // 2)}",
        )
    found = Measured({name: Tally() for name in (CLEAN, *names)}, dict.fromkeys(names, 0))
    scorer.score(_streams(documents, found, scorer, rate, seed, sentinels))
    if not found.scored_bytes:
        raise CorpusError("there is nothing to evaluate: no document has a byte behind a prompt", where="--input")
    if names and not any(found.changed.values()):
        raise CorpusError(
            f"nothing is perturbed: {', '.join(names)} changed none of the bytes read before those scored",
            where="--input",
            fix="give a larger --rate, other --perturbations, or documents that have something to perturb",
        )
    return found


def scored_bytes(documents: Sequence[bytes], context: int, stride: int) -> int:
    """How many bytes :func:`measure` scores behind each prompt."""
    return sum(len(_reached(*parted(content), context, stride)) for content in documents)


def _reached(prompt: bytes, rest: bytes, context: int, stride: int) -> bytes:
    """The beginning of a rest that is read in one window with its prompt."""
    # The whole of a document of one byte is rest: there is nothing to perturb.
    return rest[: context - stride] if prompt else b""


def _streams(
    documents: Sequence[bytes], found: Measured, scorer: Scorer, rate: float, seed: int, sentinels: bool
) -> Iterator[Scored]:
    for number, content in enumerate(documents):
        prompt, rest = parted(content)
        found.rest_bytes += len(rest)
        reached = _reached(prompt, rest, scorer.context, scorer.stride)
        if not reached:
            continue
        seen = scorer.context - min(scorer.stride, len(reached))
        for name, tally in found.tallies.items():
            read = prompt if name == CLEAN else apply(name, prompt, rate, seed, number)
            tally.documents += 1
            tally.source_bytes += len(reached)
            if name != CLEAN:
                found.changed[name] += read[-seen:] != prompt[-seen:]
            yield from _windows(read, reached, scorer, tally, sentinels)


def _windows(prompt: bytes, rest: bytes, scorer: Scorer, tally: Tally, sentinels: bool) -> Iterator[Scored]:
    """A window for each stride of the rest, with as much before it as the context holds."""
    text = prompt + rest
    for begin in range(len(prompt), len(text), scorer.stride):
        end = min(begin + scorer.stride, len(text))
        first = max(0, end - scorer.context)
        # Inside the raw view a window is opened by the view's sentinel, as at its beginning; else by what is before it.
        before = raw_ids(text[first - 1 : first]) if first else [EOS]
        stream = IdStream(raw_ids(text[first:end]), RAW_OPEN if sentinels else int(before[0]), sentinels)
        yield Scored(stream, [Segment(begin - first, end - first, tally, end - begin)])


def figures(measured: Measured) -> dict[str, dict[str, Any]]:
    """BPB and accuracy by prompt, with the differences to the clean prompts; JSON-able."""
    clean = measured.tallies[CLEAN]
    clean_bpb = bits_per_byte(clean.nats, clean.source_bytes) or 0.0
    clean_accuracy = clean.correct / max(1, clean.targets)
    found = {}
    for name, tally in measured.tallies.items():
        bpb = bits_per_byte(tally.nats, tally.source_bytes) or 0.0
        accuracy = tally.correct / max(1, tally.targets)
        found[name] = {
            "documents": tally.documents,
            "documents_changed": measured.changed.get(name, 0),
            "bytes": tally.source_bytes,
            "bpb": bpb,
            "bpb_added": bpb - clean_bpb,
            "accuracy": accuracy,
            "accuracy_lost": clean_accuracy - accuracy,
        }
    return found


def as_table(measured: Measured) -> str:
    """The figures as a table, and what they are over."""
    found = figures(measured)
    width = max(map(len, found))
    lines = [f"{'prompt':<{width}}  {'changed':>11}  {'BPB':>7}  {'added':>8}  {'next byte right':>15}  {'lost':>7}"]
    for name, one in found.items():
        changed = f"{one['documents_changed']:,} of {one['documents']:,}"
        lines.append(
            f"{name:<{width}}  {changed:>11}  {one['bpb']:>7.4f}  {one['bpb_added']:>+8.4f}  "
            f"{one['accuracy']:>15.2%}  {one['accuracy_lost']:>+7.2%}"
        )
    over = (
        f"over {measured.scored_bytes:,} of the {measured.rest_bytes:,} bytes behind the prompts: those that are read "
        "in one window with a prompt; the others no perturbation can reach"
    )
    return "\n".join([*lines, "", over])
