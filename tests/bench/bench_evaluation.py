"""Scoring a corpus: bytes per second of ``megatron-proxy evaluate``, beside transformers on the exported folder.

    python tests/bench/bench_evaluation.py [--quick] [--layers 4] [--hidden 128]

The peer is LlamaForCausalLM, loaded from what ``export`` wrote, reading the same sliding windows in the same batches.
It has no ids but bytes and specials, so ours is measured twice: with a vocabulary of that size, where both do the same
work, and with 4,096 ids, as ``bpb`` is under the model's whole vocabulary. Both sides' nats over bytes must agree.
Weights are random, the text is Python's standard library. Processor time, one thread, sides by turns, the least of the
rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import random_model
import torch
import transformers
from harness import Row, report
from pretraining import stdlib_sources

from megatron_proxy.evaluation import bits
from megatron_proxy.evaluation.scoring import Scorer
from megatron_proxy.evaluation.windows import IdStream, windows
from megatron_proxy.model.checkpoint import Checkpoint
from megatron_proxy.model.hf import export
from megatron_proxy.model.network import Architecture, ByteModel
from megatron_proxy.model.network.architecture import Rope
from megatron_proxy.vocab import RAW_OPEN, raw_ids

CONTEXT, STRIDE, BATCH = 512, 256, 8
BYTE_IDS, ALL_IDS = 320, 4096


def shape_of(args: argparse.Namespace, vocabulary: int) -> Architecture:
    """A model that Llama can express."""
    head = args.hidden // 4
    return replace(
        random_model.LLAMA,
        layers=args.layers,
        hidden=args.hidden,
        groups=4,
        head_dim=head,
        ffn=args.hidden * 5 // 2,
        vocabulary=vocabulary,
        context=CONTEXT,
        rope=Rope(head, 10000.0),
    )


def exported(shape: Architecture) -> torch.nn.Module:
    """The model as transformers loads it."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Architecture, "from_args", return_value=shape):
        args = Namespace(proxy_compression="trie", proxy_mode="sentinel", proxy_final_mode=None)
        checkpoint = Checkpoint(Path("iter_0000001"), 1, args, random_model.RandomTensors(shapes(shape), 0.05))
        export(checkpoint, Path(folder) / "hf", dtype=torch.float32)
        transformers.utils.logging.disable_progress_bar()
        model = transformers.AutoModelForCausalLM.from_pretrained(Path(folder) / "hf", dtype=torch.float32)
    return model.eval()


def shapes(shape: Architecture) -> dict[str, tuple[int, ...]]:
    return random_model.tensors(shape).shapes


def ours(model: ByteModel, documents: list[bytes]) -> float:
    """Nats of all bytes, under bytes and specials alone."""
    corpus = (bits.Document(document, "stdlib", None) for document in documents)
    return bits.measure(corpus, bits.raw_view(), Scorer(model, CONTEXT, STRIDE, BATCH)).total.byte_nats


@torch.inference_mode()
def peers(model: torch.nn.Module, documents: list[bytes]) -> float:
    """The same by transformers."""
    items = [item for document in documents for item in windows(IdStream(raw_ids(document), RAW_OPEN), CONTEXT, STRIDE)]
    items.sort(key=lambda window: len(window.inputs))
    nats = 0.0
    for begin in range(0, len(items), BATCH):
        batch = items[begin : begin + BATCH]
        longest = len(batch[-1].inputs)
        inputs = torch.zeros(len(batch), longest, dtype=torch.int64)
        labels = torch.full_like(inputs, -100)
        for row, window in enumerate(batch):
            inputs[row, : len(window.inputs)] = torch.from_numpy(window.inputs)
            labels[row, window.skip : len(window.targets)] = torch.from_numpy(window.targets[window.skip :])
        logits = model(input_ids=inputs, use_cache=False).logits.float()
        nats += torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum").item()
    return nats


def seconds(work: Callable[[], float]) -> tuple[float, float]:
    """Processor time of one call, and what it returned."""
    begin = time.process_time()
    nats = work()
    return time.process_time() - begin, nats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less text, two rounds")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128)
    args = parser.parse_args()
    documents = [document[:6_000] for document in stdlib_sources(1_000_000)[: 3 if args.quick else 12]]
    size = sum(map(len, documents))
    models = {
        ids: ByteModel(shape_of(args, ids), random_model.RandomTensors(shapes(shape_of(args, ids)), 0.05))
        for ids in (BYTE_IDS, ALL_IDS)
    }
    peer = exported(shape_of(args, BYTE_IDS))
    works: dict[str, Callable[[], float]] = {
        "peer": lambda: peers(peer, documents),
        f"{BYTE_IDS} ids": lambda: ours(models[BYTE_IDS], documents),
        f"{ALL_IDS:,} ids": lambda: ours(models[ALL_IDS], documents),
    }
    results = [{name: seconds(work) for name, work in works.items()} for _ in range(2 if args.quick else 3)]
    nats = {name: result[1] for name, result in results[0].items()}
    if abs(nats[f"{BYTE_IDS} ids"] / nats["peer"] - 1) > 1e-4:
        raise SystemExit(f"the two sides disagree: {nats}")
    speed = {name: size / min(result[name][0] for result in results) for name in works}
    rows = [
        Row(f"evaluate, {name}, ÷ transformers", speed[name], "bytes/s", speed["peer"], None, note)
        for name, note in (
            (f"{BYTE_IDS} ids", "the same windows and work"),
            (f"{ALL_IDS:,} ids", "the whole vocabulary, which the exported model does not have"),
        )
    ]
    report("evaluation", rows, layers=args.layers, hidden=args.hidden, text_bytes=size)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
