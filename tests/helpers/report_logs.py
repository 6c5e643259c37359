"""Logs as Megatron prints them, small enough to compute by hand."""

import re

HEAD = """\
using world size: 2, data-parallel size: 2
------------------------ arguments ------------------------
  data_path ....................................... ['0.7', 'data/a', '0.3', 'data/b']
  ffn_hidden_size ................................. 24
  global_batch_size ............................... 4
  group_query_attention ........................... True
  hidden_size ..................................... 16
  kv_channels ..................................... 4
  lr .............................................. 0.003
  lr_decay_style .................................. cosine
  micro_batch_size ................................ 2
  min_lr .......................................... 0.0003
  mock_data ....................................... False
  mtp_num_layers .................................. None
  multi_latent_attention .......................... False
  num_attention_heads ............................. 4
  num_experts ..................................... None
  num_layers ...................................... 2
  num_query_groups ................................ 2
  padded_vocab_size ............................... None
  proxy_compression ............................... zstd
  proxy_final_rate ................................ None
  proxy_initial_rate .............................. 0.4
  proxy_peak_rate ................................. 0.9
  seed ............................................ 1234
  seq_length ...................................... 32
  swiglu .......................................... True
  train_iters ..................................... 300
  untie_embeddings_and_output_weights ............. True
  world_size ...................................... 2
-------------------- end of arguments ---------------------
megatron_proxy: versions: megatron_proxy 0.1.0, Megatron-Core 0.19.2, torch 2.9.0, Python 3.12.1
INFO:megatron: > padded vocab (size: 330) with 54 dummy tokens (new size: 384)
 > number of parameters on (tensor, gtp_weight_remat, pipeline) model parallel rank (0, 0, 0): 9000
 > number of parameters on (tensor, gtp_weight_remat, pipeline) model parallel rank (1, 0, 0): 7200
"""
# 2 layers of (q, k and v for half the heads, out, a gated MLP) and an output layer.
WEIGHTS = 2 * (16 * 16 + 2 * 16 * 8 + 16 * 16 + 3 * 16 * 24) + 16 * 384
FLOPS_PER_TOKEN = 6 * (WEIGHTS + 2 * 16 * 32)


def training(iteration: int, raw: float | None, rate: float, mode: str = "sentinel", seen: tuple = (100, 300)) -> str:
    """A line of training; bytes seen rise by ``seen`` with each iteration."""
    fields = {
        "consumed samples": f"{iteration * 4:12}",
        "elapsed time per iteration (ms)": 100.0 + iteration,
        "lm loss": "2.5E+00",
        **({} if raw is None else {"raw bpb": f"{raw:.6E}"}),
        "compressed bpb": "3.000000E+00",
        "compressed rate": f"{rate:.6E}",
        "raw bytes seen": iteration * seen[0],
        "compressed bytes seen": iteration * seen[1],
        "mode": mode,
    }
    told = " | ".join(f"{name}: {value}" for name, value in fields.items())
    return f" [2026-01-02 03:04:05.1] iteration {iteration:8}/      40 | {told} |"


def validation(iteration: int, bpb: float) -> str:
    return (
        f" validation loss at iteration {iteration} on validation set | lm loss value: 2E+00 | raw bpb value: {bpb} | "
    )


LINES = [
    training(10, 5.0, 0.4, "translation_random"),
    training(20, 4.0, 0.9),
    validation(20, 3.9),
    training(30, None, 0.9),
    validation(30, 3.5),
    training(40, 3.0, 0.9),
    validation(40, 3.25),
]


def _coloured(line: str) -> str:
    """A line as a program writes it for a terminal: each value in colour, a title before, bold words around."""
    told = re.sub(r"([\d.]+(?:E[+-]\d+)?|True|None|zstd)(?= *(?:\||$))", "\x1b[1;32m\\1\x1b[0m", line)
    return f"\x1b]0;training\x07\x1b[1m{told}\x1b(B\x1b[m"


COLOURED = "\r\n".join(map(_coloured, [*HEAD.splitlines(), *LINES]))
