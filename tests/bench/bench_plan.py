"""Planning and sample access, beside Megatron's stock GPTDataset in the same run.

    python tests/bench/bench_plan.py [--quick] [--draws 50e6] [--documents 50e6] [--output build/bench/plan.json]

*Planning*: a simulated index (sizes only) is planned into a cache folder, in a process of its own, whose peak memory is
read at its end; the cached plan is then opened again as the first rank does it (every byte checked). The interleaved
row has 18 spans per document, over a fiftieth of the documents.

*Access*: microseconds of processor time per sample, ours and stock's, in turns of 40 samples, 25th percentile over
the turns. Stock reads the same stream of ids: one document per eos, ids as uint16. "ids" is putting the ids together
(stock: ``_query_document_sample_shuffle_indices``), "sample" all of ``__getitem__`` without attention mask, "reset" the
same with ``--reset-position-ids --eod-mask-loss``, "packed" with inter-document masking. The last column is the ids
that we put into batches of four with "reset", in millions per second of processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from megatron_proxy.planning import cache as plan_cache
from megatron_proxy.planning import planner
from megatron_proxy.planning.plan import DocumentSizes, PlanSpec
from megatron_proxy.planning.spans import SpanTable
from megatron_proxy.schedule import Mode, Schedule

SEQ_LENGTH = 8192
SPAN_BYTES, SPAN_CODES = 256, 86
BATCH = 4
SCHEDULES = {
    "translation, then sentinel": Schedule(),
    "interleaved": Schedule(warmup_mode=Mode.INTERLEAVED, steady_mode=Mode.INTERLEAVED, final_mode=Mode.INTERLEAVED),
}


def write_index(folder: Path, documents: int, spans: bool) -> None:
    """Sizes of documents as files, as views have them: log-normal, 4,450 bytes on average, in whole spans."""
    generator = np.random.default_rng(0)
    with (
        open(folder / "raw", "wb") as raw,
        open(folder / "codes", "wb") as codes,
        open(folder / "counts", "wb") as counts,
    ):
        for begin in range(0, documents, 1 << 20):
            size = min(1 << 20, documents - begin)
            per_document = np.clip(generator.lognormal(7.9, 1.0, size) / SPAN_BYTES, 1, 4000).round().astype(np.int32)
            raw.write((per_document * SPAN_BYTES).tobytes())
            codes.write((per_document * SPAN_CODES).tobytes())
            if spans:
                counts.write(per_document.tobytes())


def read_index(folder: Path) -> DocumentSizes:
    """The sizes again, memory-mapped, with a span table if there is one."""
    raw, codes = (np.asarray(np.memmap(folder / name, dtype=np.int32, mode="r")) for name in ("raw", "codes"))
    spans = None
    if (folder / "counts").stat().st_size:
        counts = np.fromfile(folder / "counts", dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        spans = SpanTable(offsets, np.tile(np.array([[SPAN_BYTES, SPAN_CODES]], np.uint16), (int(offsets[-1]), 1)))
    return DocumentSizes(raw, codes, spans)


def plan_once(folder: Path, name: str, draws: int) -> dict[str, Any]:
    """Plan about this many draws into a cache, and open it again."""
    sizes = read_index(folder)
    # A tenth more than single views take, for the pairs of the warm-up and the sentinels of runs.
    mean = 1.1 * (0.1 * sizes.raw.mean() + 0.9 * sizes.codes.mean())
    samples = max(int(draws * mean / SEQ_LENGTH), 1)
    spec = PlanSpec(1234, SEQ_LENGTH, SCHEDULES[name], samples, samples, range(len(sizes.raw)))
    seconds = {}
    for what in ("planned", "opened"):
        wall, cpu = time.perf_counter(), time.process_time()
        arrays = plan_cache.open_or_build(folder / "cache", spec.description(), lambda: planner.plan_parts(spec, sizes))
        seconds |= {f"{what}_s": time.perf_counter() - wall, f"{what}_cpu_s": time.process_time() - cpu}
    return {
        "schedule": name,
        "documents": len(sizes.raw),
        "draws": len(arrays["draw_documents"]),
        "samples": len(arrays["shuffle"]),
        "cache_bytes": sum(array.nbytes for array in arrays.values()),
        "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **seconds,
    }


def bench_planning(draws: int, documents: int) -> list[dict[str, Any]]:
    """Both schedules, each in a fresh process."""
    rows = []
    for name, count in (("translation, then sentinel", documents), ("interleaved", max(documents // 50, 1))):
        with tempfile.TemporaryDirectory(prefix="bench-plan-") as folder:
            write_index(Path(folder), count, spans=name == "interleaved")
            command = [sys.executable, __file__, "--plan-in", folder, "--schedule", name, "--draws", str(draws)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


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
        from megatron_proxy.views import ViewReader

        self._folder = folder
        generator = np.random.default_rng(document_bytes)
        spans = np.maximum(generator.exponential(document_bytes / 128, total_bytes // document_bytes).round(), 1)
        pairs = [np.tile(np.array([128, 43], np.uint16), int(count)) for count in spans]
        raw = [generator.integers(32, 127, 64 * len(pair)).astype(np.uint8) for pair in pairs]
        codes = [generator.integers(0, 1000, 43 * len(pair) // 2).astype(np.uint16) for pair in pairs]
        self.raw = ViewReader(write_view(folder / "raw", raw, np.uint8))
        self.codes = ViewReader(write_view(folder / "codes", codes, np.uint16))
        self.spans = SpanTable.from_view(ViewReader(write_view(folder / "spans", pairs, np.uint16)))

    def measure(self, mode: Mode, rate: float, seq_length: int, turns: int) -> dict[str, Any]:
        """Times of ours and stock's for one mode, microseconds per sample."""
        from torch.utils.data import default_collate

        from megatron_proxy.adaptor.samples import Sampler
        from megatron_proxy.planning.windows import Windows
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


def print_planning(rows: list[dict[str, Any]]) -> None:
    print(f"{'planning':<28}{'documents':>12}{'draws':>12}{'samples':>12}{'s':>8}{'cpu s':>8}{'GiB':>7}{'open s':>8}")
    for row in rows:
        print(
            f"{row['schedule']:<28}{row['documents']:>12,}{row['draws']:>12,}{row['samples']:>12,}"
            f"{row['planned_s']:>8.1f}{row['planned_cpu_s']:>8.1f}{row['peak_rss_gib']:>7.2f}{row['opened_s']:>8.2f}"
        )


def print_access(rows: list[dict[str, Any]]) -> None:
    kinds = ("ids", *FLAGS)
    print(f"\n{'access, µs: ours/stock = ratio':<42}" + "".join(f"{kind:>24}" for kind in kinds) + f"{'M ids/s':>10}")
    for row in rows:
        label = f"{row['document_bytes']:>6} B, S={row['seq_length']}, {row['mode']} {row['rate']}"
        cells = [(row[f"{kind} ours"], row[f"{kind} stock"]) for kind in kinds]
        compared = "".join(f"{f'{ours:.0f}/{stock:.0f} = {ours / stock:.2f}':>24}" for ours, stock in cells)
        print(f"{label:<42}{compared}{row['batched_ids_per_s'] / 1e6:>10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the draws, fewer turns")
    parser.add_argument("--draws", type=float, default=50e6)
    parser.add_argument("--documents", type=float, default=50e6)
    parser.add_argument("--output", type=Path, default=Path("build/bench/plan.json"))
    parser.add_argument("--plan-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--schedule", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plan_in:
        print(json.dumps(plan_once(args.plan_in, args.schedule, int(args.draws))))
        return
    share = 50 if args.quick else 1
    planning = bench_planning(int(args.draws / share), int(args.documents / share))
    print_planning(planning)
    access = bench_access(10 if args.quick else 40, 4_000_000 if args.quick else 20_000_000)
    print_access(access)
    machine = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"machine": machine, "planning": planning, "access": access}, indent=1) + "\n")


if __name__ == "__main__":
    main()
