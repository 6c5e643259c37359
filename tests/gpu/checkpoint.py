"""A checkpoint saved on the GPU: gone on from, evaluated, exported, generated from there, and taken by transformers."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import losses
from settings import BF16, SAVED, Settings

# isort: split
import torch
from harness import Row

from megatron_proxy import cli
from megatron_proxy.model.checkpoint import open_checkpoint
from megatron_proxy.model.network import Architecture, ByteModel
from megatron_proxy.vocab import SYMBOL_OFFSET


def onwards(settings: Settings) -> Iterator[Row]:
    """The checkpoint of the step ``losses``."""
    saved = settings.work / "checkpoint"
    found = losses.run(settings, f"--bf16 --load {saved} --ckpt-step {SAVED}")
    never_stopped = losses.read(settings.work / "losses-bf16.json")[SAVED:]
    # Megatron's second line is the mean of two iterations.
    del found[1], never_stopped[1]
    yield losses.row("losses when gone on, from those never stopped", found, never_stopped, BF16)

    model = f"--load {saved} --device {settings.device} --dtype"
    documents = f"--input {settings.data / 'corpus.jsonl'} --max-documents 4 --json"
    bits = [json.loads(command(f"evaluate {model} {dtype} {documents}"))["bpb"] for dtype in ("bfloat16", "float32")]
    yield Row("raw bits per byte, in bf16 beside float32", bits[0], "bpb", bits[1], "<= 1.01")

    generate = f"generate {model} float32 --prompt def --num-samples 2 --max-bytes 16 --allow-invalid-utf8"
    written = [command(generate), command(f"{generate} --no-kv-cache")]
    yield Row("completions that the cache changes", float(written[0] != written[1]), "", goal="<= 0")

    exported = settings.work / "exported"
    command(f"export --load {saved} --output {exported}")
    off, most = in_transformers(settings, saved, exported)
    # TF32 keeps ten bits of each factor.
    yield Row("logits in transformers, from ours", off, "", goal=f"<= {most * 2**-9:.3g}", note=f"largest {most:.2f}")


def command(line: str) -> str:
    """What one of our commands prints."""
    printed = io.StringIO()
    print(f"megatron-proxy {line}", flush=True)
    with contextlib.redirect_stdout(printed):
        code = cli.main(line.split())
    print(printed.getvalue(), flush=True)
    if code:
        raise ValueError(f"megatron-proxy {line.split()[0]} ended with exit code {code}")
    return printed.getvalue()


def in_transformers(settings: Settings, saved: Path, exported: Path) -> tuple[float, float]:
    """How far the exported model's logits lie from ours at most, and the largest of ours; both in float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32).to(settings.device)
    ids = AutoTokenizer.from_pretrained(exported)("def f(x):", return_tensors="pt").input_ids.to(settings.device)
    opened = open_checkpoint(saved)
    model = ByteModel(Architecture.from_args(opened.args), opened.tensors, settings.device, torch.float32)
    with torch.inference_mode():
        expected = model.logits(ids)[..., :SYMBOL_OFFSET]
        return (theirs(ids).logits - expected).abs().max().item(), expected.abs().max().item()
