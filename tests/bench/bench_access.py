"""Sample access beside Megatron's stock GPTDataset, in the same run.

    python tests/bench/bench_access.py [--quick]

Microseconds of processor time per sample, ours and stock's, in turns of 40 samples, 25th percentile over the turns.
Stock reads the same stream of ids: one document per eos, ids as uint16. "ids" is putting the ids together (stock:
``_query_document_sample_shuffle_indices``), "sample" all of ``__getitem__`` without attention mask, "reset" the same
with ``--reset-position-ids --eod-mask-loss``, "packed" with inter-document masking. The last column is the ids that we
put into batches of four with "reset", that is with document masks, in millions per second of processor time.

The rows are the worst of all modes, lengths and kinds of documents; the whole table is printed and kept beside them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from harness import Row, report
from numpy.typing import NDArray

from megatron_proxy.data.sampling import planner
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec
from megatron_proxy.data.sampling.schedule import Mode, Schedule

BATCH = 4


def write_view(path: Path, documents: Sequence[NDArray[Any]], dtype: type[np.integer[Any]]) -> str:
    """An IndexedDataset with one document per array."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(f"{path}.bin", dtype=dtype)
    for document in documents:
        builder.add_document(document, [len(document)])
    builder.finalize(f"{path}.idx")
    return str(path)


class Tokenizer:
    """What GPTDataset asks of a tokenizer."""

    vocab_size, eod, pad = 1320, 2, 0
    unique_identifiers = {"class": "bench"}  # noqa: RUF012


FLAGS: dict[str, dict[str, bool]] = {
    "sample": {"reset_position_ids": False, "eod_mask_loss": False},
    "reset": {"reset_position_ids": True, "eod_mask_loss": True},
    "packed": {"reset_position_ids": False, "eod_mask_loss": False, "inter_document_masking": True},
}


def config_of(folder: Path, path: str, seq_length: int, flags: dict[str, bool]) -> Any:
    """Megatron's configuration of a GPTDataset."""
    from megatron.core.datasets.gpt_dataset import GPTDatasetConfig

    return GPTDatasetConfig(
        random_seed=1,
        sequence_length=seq_length,
        blend=([path], None),
        split="1,0,0",
        path_to_cache=str(folder / "stock"),
        tokenizer=Tokenizer(),
        reset_attention_mask=False,
        create_attention_mask=False,
        **flags,
    )


class AccessBench:
    """One corpus of random documents in both views, and stock datasets over the same streams."""

    def __init__(self, folder: Path, document_bytes: int, total_bytes: int) -> None:
        from megatron_proxy.data.dataset.reader import ViewReader

        self._folder = folder
        generator = np.random.default_rng(document_bytes)
        spans = np.maximum(generator.exponential(document_bytes / 128, total_bytes // document_bytes).round(), 1)
        pairs = [np.tile(np.array([128, 43], np.uint16), int(count)) for count in spans]
        raw = [generator.integers(32, 127, 64 * len(pair)).astype(np.uint8) for pair in pairs]
        codes = [generator.integers(0, 1000, 43 * len(pair) // 2).astype(np.uint16) for pair in pairs]
        self.raw = ViewReader(write_view(folder / "raw", raw, np.uint8))
        self.codes = ViewReader(write_view(folder / "codes", codes, np.uint16))
        self.spans = ViewReader(write_view(folder / "spans", pairs, np.uint16))

    def measure(self, mode: Mode, rate: float, seq_length: int, turns: int) -> dict[str, Any]:
        """Times of ours and stock's for one mode, microseconds per sample."""
        from torch.utils.data import default_collate

        from megatron_proxy.adaptor.data.samples import Sampler
        from megatron_proxy.data.sampling.windows import Windows
        from megatron_proxy.vocab import Vocabulary

        sizes = DocumentSizes(self.raw.sequence_lengths, self.codes.sequence_lengths, self.spans)
        spec = PlanSpec(1, seq_length, Schedule.constant(rate, mode), 1000, None, range(len(self.raw)))
        windows = Windows(planner.build(spec, sizes), self.raw, self.codes, Vocabulary(1000), self.spans)
        path = self._write_stream(windows, f"{mode}-{rate}-{seq_length}")
        stock = {name: self._stock(path, seq_length, flags) for name, flags in FLAGS.items()}
        samplers = {name: Sampler(dataset.config) for name, dataset in stock.items()}
        functions: dict[str, Callable[[int], object]] = {
            "ids ours": windows.__getitem__,
            "ids stock": stock["sample"]._query_document_sample_shuffle_indices,
        }
        for name, dataset in stock.items():
            functions[f"{name} ours"] = lambda i, sampler=samplers[name]: sampler.sample(windows[i], counts=True)
            functions[f"{name} stock"] = dataset.__getitem__
        functions["batch"] = lambda i: default_collate([functions["reset ours"](j) for j in range(i, i + BATCH)])
        order = np.random.default_rng(2).permutation(min(len(windows), len(stock["sample"])) - BATCH)
        measured = in_turns(functions, order.tolist(), turns)
        return measured | {"batched_ids_per_s": BATCH * seq_length / measured["batch"] * 1e6}

    def _write_stream(self, windows: Any, name: str) -> str:
        """The stream of a plan as documents that end with eos, for stock to read."""
        out = np.empty(windows.plan.spec.seq_length + 1, dtype=np.int64)
        stretches = []
        for window in range(len(windows)):
            windows.fill(window, out)
            stretches.append(out[1:].astype(np.uint16))
        stream = np.concatenate(stretches)
        ends = np.flatnonzero(stream == Tokenizer.eod) + 1
        return write_view(self._folder / name, np.split(stream, ends[ends < len(stream)]), np.uint16)

    def _stock(self, path: str, seq_length: int, flags: dict[str, bool]) -> Any:
        from megatron.core.datasets.gpt_dataset import GPTDataset
        from megatron.core.datasets.indexed_dataset import IndexedDataset
        from megatron.core.datasets.utils import Split

        dataset = IndexedDataset(path)
        documents = np.arange(len(dataset), dtype=np.int32)
        return GPTDataset(dataset, path, documents, None, Split.train, config_of(self._folder, path, seq_length, flags))


def in_turns(
    functions: dict[str, Callable[[int], object]], order: Sequence[int], turns: int, per_turn: int = 40
) -> dict[str, Any]:
    """Microseconds of processor time per call, functions by turns over the same samples."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(turns):
        begin = turn * per_turn % max(len(order) - per_turn, 1)
        for name, function in functions.items():
            for sample in order[begin : begin + 5]:
                function(sample)
            start = time.process_time()
            for sample in order[begin : begin + per_turn]:
                function(sample)
            times[name].append((time.process_time() - start) / per_turn * 1e6)
    return {name: float(np.percentile(values, 25)) for name, values in times.items()}


ACCESS_MODES = (
    (Mode.VANILLA, 0.0),
    (Mode.SENTINEL, 0.0),
    (Mode.SENTINEL, 0.9),
    (Mode.TRANSLATION_RANDOM, 0.5),
    (Mode.PARALLEL_RANDOM, 0.5),
    (Mode.INTERLEAVED, 0.9),
)


def bench_access(turns: int, total_bytes: int) -> list[dict[str, Any]]:
    """All modes, two lengths, two kinds of documents."""
    import torch

    torch.set_num_threads(1)
    rows = []
    for document_bytes in (1_000, 20_000):
        with tempfile.TemporaryDirectory(prefix="bench-access-") as folder:
            bench = AccessBench(Path(folder), document_bytes, total_bytes)
            for seq_length in (2048, 8192):
                for mode, rate in ACCESS_MODES:
                    measured = bench.measure(mode, rate, seq_length, turns)
                    shape = {"document_bytes": document_bytes, "seq_length": seq_length, "mode": mode, "rate": rate}
                    rows.append(shape | measured)
    return rows


def print_access(rows: list[dict[str, Any]]) -> None:
    kinds = ("ids", *FLAGS)
    print(f"\n{'access, µs: ours/stock = ratio':<42}" + "".join(f"{kind:>24}" for kind in kinds) + f"{'M ids/s':>10}")
    for row in rows:
        cells = [(row[f"{kind} ours"], row[f"{kind} stock"]) for kind in kinds]
        compared = "".join(f"{f'{ours:.0f}/{stock:.0f} = {ours / stock:.2f}':>24}" for ours, stock in cells)
        print(f"{label_of(row):<42}{compared}{row['batched_ids_per_s'] / 1e6:>10.0f}")


def label_of(row: dict[str, Any]) -> str:
    return f"{row['document_bytes']:>6} B, S={row['seq_length']}, {row['mode']} {row['rate']}"


def rows_of(measured: list[dict[str, Any]]) -> list[Row]:
    """For each kind of sample the worst ratio, and the fewest ids per second into batches."""
    rows = []
    for kind, what in (("sample", "sample access"), ("reset", "with document masks"), ("packed", "packed")):
        worst = max(measured, key=lambda row: row[f"{kind} ours"] / row[f"{kind} stock"])
        note = f"worst of {len(measured)}: {label_of(worst).strip()}"
        rows.append(Row(f"{what} ÷ stock", worst[f"{kind} ours"], "µs", worst[f"{kind} stock"], "<= 1.0", note))
    fewest = min(measured, key=lambda row: row["batched_ids_per_s"])
    note = f"fewest of {len(measured)}: {label_of(fewest).strip()}"
    name = "ids into batches, document masks included, per second of processor time"
    return [*rows, Row(name, fewest["batched_ids_per_s"] / 1e6, "M", None, ">= 20", note)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less data, fewer turns")
    args = parser.parse_args()
    measured = bench_access(6 if args.quick else 40, 4_000_000 if args.quick else 20_000_000)
    print_access(measured)
    report("access", rows_of(measured), access=measured)


if __name__ == "__main__":
    main()
