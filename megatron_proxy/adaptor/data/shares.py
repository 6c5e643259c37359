"""Whether the raw view, which the model is trained for, will occur in a run as its rates ask.

Which documents appear in which view is left to chance, draw by draw. A run that draws few documents, because they are
long or its samples few, may see the raw view hardly ever, or not at all.
"""

from __future__ import annotations

from typing import Final

from ...data.sampling.schedule import Schedule
from ..measures.bytes_seen import BytesSeen
from ..run import Run

_RARE: Final = 0.5
"""Less than this part of what the rates ask for is told."""


def remarks(current: Run, samples: int) -> list[str]:
    """What to tell of a run whose first ``samples`` samples hold far fewer raw bytes than its rates ask for."""
    raw, compressed = BytesSeen(current.training).after(samples)
    views = [(one.manifest.raw.units, one.compressed.view.units) for one in current.prepared]
    size = sum(codes for _, codes in views) / max(1, sum(units for units, _ in views))
    asked = asked_share(current.settings.schedule, size, samples / current.settings.horizon_samples)
    found = raw / max(1, raw + compressed)
    if found >= _RARE * asked:
        return []
    draws = sum(len(one.plan.draw_documents) for one in getattr(current.training, "datasets", [current.training]))
    return [
        f"warning: the rates ask for {asked:.1%} raw bytes, and this run reads {found:.1%}: of {draws:,} "
        "draws of documents chance decides; with shorter documents, a longer run or lower rates the model will "
        "see the bytes that it is to read"
    ]


def asked_share(schedule: Schedule, size: float, end: float) -> float:
    """The share of raw bytes among all source bytes that a schedule asks for.

    Parameters
    ----------
    schedule
        Rates over progress, which goes by ids.
    size
        Codes per byte of the compressed view.
    end
        Progress at the end of the run.
    """
    raw = total = 0.0
    for step in schedule.steps():
        length = max(0.0, min(step.end, end) - step.begin)
        # A byte costs one id in the raw view, and ``size`` of one in the other.
        source_bytes = length / (1.0 - step.rate + step.rate * size) if length else 0.0
        raw += source_bytes * (1.0 - step.rate)
        total += source_bytes
    return raw / total if total else 0.0
