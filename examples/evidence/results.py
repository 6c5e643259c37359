"""What cells have given: one JSON file each, in ``results``; and the figures of the compressors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from grid import Cell

from megatron_proxy.common import readable_json
from megatron_proxy.common.storage.files import replace_file

FOLDER: Final = Path(__file__).with_name("results")
_COMPRESSORS: Final = "compressors.json"


@dataclass(frozen=True)
class Result:
    """A finished cell.

    Parameters
    ----------
    cell
        Which.
    command
        What makes it again.
    versions
        The packages it was made with.
    held_out
        Bytes and documents that the bits per byte are over.
    bpb
        Bits per held-out source byte, by view.
    figures
        The rest of what ``report`` tells: FLOPs, ids, parameters, source bytes read.
    robustness
        Bits per byte of the rests of documents, by prompt; empty where there are no raw bytes to prompt with.
    seconds, load_average
        How long it took, and how many processes wanted a core meanwhile (at its beginnings and its end).
    """

    cell: Cell
    command: str
    versions: str
    held_out: Mapping[str, int]
    bpb: Mapping[str, float]
    figures: Mapping[str, Any]
    robustness: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    load_average: Sequence[float] = ()

    @property
    def raw(self) -> float | None:
        """Bits per byte of the raw view."""
        return self.bpb.get("raw")


def save(result: Result, folder: Path = FOLDER) -> None:
    """Keep a result."""
    replace_file(folder / f"{result.cell.name}.json", readable_json.file(asdict(result)))


def has(cell: Cell, folder: Path = FOLDER) -> bool:
    """Whether there is a result of a cell."""
    return (folder / f"{cell.name}.json").exists()


def load(folder: Path = FOLDER) -> list[Result]:
    """All results, in the order of their names."""
    found = (json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json")) if path.name != _COMPRESSORS)
    return [Result(**{**content, "cell": Cell(**content["cell"])}) for content in found]


def compressors(folder: Path = FOLDER) -> dict[str, dict[str, float]]:
    """What ``inspect`` says about each compressor; empty before the first run."""
    path = folder / _COMPRESSORS
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def save_compressors(inspected: Sequence[Mapping[str, Any]], folder: Path = FOLDER) -> None:
    """Keep what of ``inspect --json`` may foretell transfer."""
    found = {
        one["compressor"]: {
            "stability": one["stability"]["random"],
            "span": one["stability"]["span"],
            "repeats_kept": one["stability"]["repeats_kept"],
            "bytes_per_code": one["bytes_per_code"],
            "literal_bytes": one["frequencies"]["literal_bytes"],
            "entropy_per_byte": one["entropy_per_byte"],
        }
        for one in inspected
    }
    replace_file(folder / _COMPRESSORS, readable_json.file(found))


def of(results: Sequence[Result], **wanted: Any) -> list[Result]:
    """The results of cells with these properties."""
    return [one for one in results if all(getattr(one.cell, name) == value for name, value in wanted.items())]
