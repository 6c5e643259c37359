"""Plans: which draws make up each sample of a run, computed once per dataset.

The draws form one stream of ids; window w is the stretch ``[w S, (w + 1) S)`` of it (S = ``seq_length``), and samples
are windows, permuted inside blocks. Planning needs the documents' sizes only. Three documents in one epoch:

>>> import numpy as np
>>> from megatron_proxy.data.sampling.draws import Form
>>> from megatron_proxy.data.sampling.planner import build
>>> from megatron_proxy.data.sampling.schedule import Mode, Schedule
>>> sizes = DocumentSizes(raw=np.array([5, 3, 9], np.int32), codes=np.array([2, 1, 4], np.int32))
>>> spec = PlanSpec(seed=1, seq_length=8, schedule=Schedule.constant(0.5, Mode.SENTINEL), horizon_samples=2,
...                 num_samples=None, documents=range(3))
>>> plan = build(spec, sizes)
>>> plan.draw_documents.tolist(), [Form(form).name for form in plan.draw_forms]
([1, 2, 0], ['RAW', 'COMPRESSED', 'COMPRESSED'])
>>> plan.sample_index.tolist(), plan.source_bytes_after(1)
([[0, 0], [1, 2], [2, 3]], (3, 2))

The stream depends on (seed, schedule, horizon, seq_length, documents) and the sizes alone, and the order of samples on
the block size besides. So a longer run with the same horizon begins with the samples of the shorter one, byte for byte,
and the chunks in which a plan was computed leave no trace in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError, DatasetError, check_count
from ..dataset.reader import ViewReader
from .schedule import Schedule

FORMAT_VERSION: Final = 1
"""Raised whenever the same description would give other arrays, so that no older cache is taken for a new one."""

MIN_SEQ_LENGTH: Final = 8
MAX_BLOCK: Final = 4096

Parts = Mapping[str, NDArray[Any]]
"""The next rows of some of a plan's arrays, by name."""


@dataclass(frozen=True)
class DocumentSizes:
    """What planning must know of the documents.

    Parameters
    ----------
    raw, codes
        int32, shape (documents,): bytes and codes of each document (``sequence_lengths`` of the two views).
    spans
        The view of the spans; needed by the mode ``interleaved`` only.

    Raises
    ------
    DatasetError
        If the views differ in their number of documents.
    """

    raw: NDArray[np.int32]
    codes: NDArray[np.int32]
    spans: ViewReader | None = None

    def __post_init__(self) -> None:
        counts = {len(self.raw), len(self.codes), *([len(self.spans)] if self.spans is not None else [])}
        if len(counts) > 1:
            raise DatasetError(
                f"the views have different numbers of documents: {', '.join(map(str, sorted(counts)))}",
                fix="prepare the views again, from one corpus",
            )

    def of(self, documents: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bytes and codes of some documents, int64; a DatasetError if one is negative."""
        raw, codes = (sizes[documents].astype(np.int64) for sizes in (self.raw, self.codes))
        if len(documents) and min(raw.min(), codes.min()) < 0:
            raise DatasetError("a document has a negative length", fix="prepare the views again")
        return raw, codes


@dataclass(frozen=True)
class PlanSpec:
    """Everything but the documents' sizes that determines a plan.

    Parameters
    ----------
    seed
        The run's seed.
    seq_length
        S: ids per sample that are predicted; at least 8.
    schedule
        Rates and modes over the horizon.
    horizon_samples
        The number of samples that the schedule spans.
    num_samples
        Samples that the run needs (whole blocks are planned); None for one epoch.
    documents
        The documents of this split, a range with step 1 in the views.
    block
        Samples are shuffled inside blocks of this many windows; by default :func:`default_block`.
    keep_partial
        In one epoch, whether a last window that the documents do not fill is kept, padded; else it is dropped.

    Raises
    ------
    ConfigurationError
        A value out of range; ``where`` is the flag.
    DatasetError
        A split without documents.
    """

    seed: int
    seq_length: int
    schedule: Schedule
    horizon_samples: int
    num_samples: int | None
    documents: range
    block: int | None = None
    keep_partial: bool = False

    def __post_init__(self) -> None:
        if self.seq_length < MIN_SEQ_LENGTH:
            raise ConfigurationError(
                f"a sequence of {self.seq_length} ids is too short for the sentinels of a pair: at least "
                f"{MIN_SEQ_LENGTH} are needed",
                where="--seq-length",
            )
        check_count(self.horizon_samples, "--proxy-horizon-samples")
        check_count(self.num_samples, "--train-samples")
        check_count(self.block, "--proxy-shuffle-block")
        if self.documents.step != 1 or self.documents.start < 0:
            raise DatasetError(f"documents {self.documents} are not a stretch of the views")
        if not self.documents:
            raise DatasetError(
                "this split has no documents", where="--split", fix="give it a larger share, or a larger corpus"
            )

    @property
    def shuffle_block(self) -> int:
        """The block size in force."""
        return default_block(self.horizon_samples) if self.block is None else self.block

    @property
    def num_windows(self) -> int | None:
        """Windows to plan: ``num_samples`` in whole blocks; None for one epoch."""
        return None if self.num_samples is None else -(-self.num_samples // self.shuffle_block) * self.shuffle_block

    def description(self) -> dict[str, Any]:
        """JSON-able; with the identity of the views it is the key under which a plan is cached."""
        return {
            **asdict(self),
            "documents": [self.documents.start, self.documents.stop],
            "block": self.shuffle_block,
            "num_samples": self.num_windows,
            "plan_format": FORMAT_VERSION,
        }


def default_block(horizon_samples: int) -> int:
    """Windows per shuffled block: 1/256 of the horizon, so that the schedule holds, in 1 … 4,096."""
    return min(max(horizon_samples // 256, 1), MAX_BLOCK)


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of one dataset: D draws cut into W windows.

    The arrays, which may be memory maps, are what :func:`.planner.plan_parts` yields, put together by name.

    Parameters
    ----------
    spec
        What was planned.
    draw_documents
        int32, shape (D,): the document of each draw.
    draw_forms
        uint8, shape (D,): its form, a value of :class:`megatron_proxy.data.sampling.draws.Form`.
    sample_index
        int64, shape (W + 1, 2): where each window begins: draw, and offset in that draw's ids. Window w has its targets
        in rows w … w + 1; the last row is the end.
    shuffle
        int64, shape (W,): the window of each sample.
    source_bytes
        int64, shape (W + 1, 2): source bytes of the raw and the compressed view in the samples before each sample.
    step_draws
        int64, shape (steps,): the first draw of each step of the schedule.
    """

    spec: PlanSpec
    draw_documents: NDArray[np.int32]
    draw_forms: NDArray[np.uint8]
    sample_index: NDArray[np.int64]
    shuffle: NDArray[np.int64]
    source_bytes: NDArray[np.int64]
    step_draws: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shuffle)

    def source_bytes_after(self, samples: int) -> tuple[int, int]:
        """Source bytes read in the raw and in the compressed view after the first ``samples`` samples."""
        raw, compressed = self.source_bytes[min(max(samples, 0), len(self))].tolist()
        return raw, compressed


def collect(parts: Iterator[Parts]) -> dict[str, NDArray[Any]]:
    """Put the parts of a plan together in memory."""
    columns: dict[str, list[NDArray[Any]]] = {}
    for part in parts:
        for name, rows in part.items():
            columns.setdefault(name, []).append(rows)
    return {name: np.concatenate(rows) for name, rows in columns.items()}
