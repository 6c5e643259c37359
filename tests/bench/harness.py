"""What every benchmark shares: comparisons of two sides, the machine they ran on, and the file they are kept in.

A benchmark is a script of its own that makes :class:`Row` objects and hands them to :func:`report`, which prints them
as a table and puts them under the benchmark's name into one JSON file. ``python tests/bench/bench.py`` runs them all.
"""

from __future__ import annotations

import importlib.metadata
import json
import operator
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(os.environ.get("BENCH_RESULTS", "build/bench/results.json"))
_PACKAGES: Final = ("megatron-core", "torch", "numpy", "numba", "zstandard", "sentencepiece", "tokenizers", "tiktoken")
_HOLDS: Final[dict[str, Callable[[float, float], bool]]] = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Row:
    """One comparison.

    ``ours`` and ``peer`` are in ``unit``; a row without a peer is compared with its goal as it is. ``goal`` is a
    relation and a number, ``"<= 1.01"`` or ``">= 0.8"``, which the ratio ours ÷ peer (or ``ours``) should hold.
    """

    name: str
    ours: float
    unit: str
    peer: float | None = None
    goal: str | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """ours ÷ peer."""
        return None if self.peer is None else self.ours / self.peer

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        relation, number = self.goal.split()
        return _HOLDS[relation](self.ours if self.ratio is None else self.ratio, float(number))


def machine() -> dict[str, Any]:
    """Where a benchmark runs: processor, versions, thread settings, and how busy it is."""
    model = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ": unknown")
    return {
        "processor": model.split(":", 1)[1].strip(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "load": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }


def report(benchmark: str, rows: Sequence[Row], output: Path = RESULTS, **details: Any) -> None:
    """Print the rows, and keep them in ``output`` beside those of other benchmarks; ``details`` must be JSON-able."""
    print(table(rows), flush=True)
    kept = json.loads(output.read_text()) if output.exists() else {}
    kept[benchmark] = {
        "machine": machine(),
        "command": " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]]),
        "rows": [asdict(row) | {"ratio": row.ratio, "reached": row.reached} for row in rows],
        **details,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(kept, indent=1) + "\n")


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """The rows of one benchmark as :func:`report` has kept them."""
    names = [field.name for field in fields(Row)]
    return [Row(**{name: row[name] for name in names}) for row in result["rows"]]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | ours | peer | ratio | goal | reached |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        peer, ratio = (f"{row.peer:,.4g} {row.unit}", f"{row.ratio:.3f}") if row.peer is not None else ("", "")
        reached = {None: "", True: "yes", False: "no"}[row.reached]
        name = f"{row.name} ({row.note})" if row.note else row.name
        lines.append(f"| {name} | {row.ours:,.4g} {row.unit} | {peer} | {ratio} | {row.goal or ''} | {reached} |")
    return "\n".join(lines)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
