"""What was tried beside the recipe, in plain torch: targets distilled from the original, and tables that learn first.

    python examples/byteify/trials.py build/byteify-experiment --size small --seeds 1 2 3

FOLDER is that of ``experiment.py``, with its originals. Each is given rows for bytes as ``import --as-proxy`` gives
them, and goes on over the windows of ``--proxy-mode interleaved``, half of the spans raw, for a fifth of its steps: in
one of these ways, one line of JSON each.

* *plain*: with cross-entropy, as in ``experiment.py``.
* *tables first*: the same; for the first tenth of the steps embedding and output layer alone learn.
* *distilled*: at a byte of a raw span the original, which reads the same window as tokens, knows how likely each next
  byte is: of the tokens that begin with what is written of this one, the share of those that go on with that byte. A
  token that is all written already says nothing of what comes next: its share goes to the byte that came. That is the
  target, in place of the byte.
* *as long*: plain, for as many more steps as the original's passes cost. One is a third of what a step over as many
  ids costs; ``compute`` is in steps.

``tokens`` are bits per byte over the view's own tokens, beside which a model here has bytes to choose from: to be
compared with each other alone. What was found is kept in ``trials.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import experiment
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from original import nats_of
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from megatron_proxy import vocab
from megatron_proxy.adaptor.data.prepared import PreparedViews, open_all
from megatron_proxy.data.sampling import planner
from megatron_proxy.data.sampling.plan import PlanSpec
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.data.sampling.windows import Windows
from megatron_proxy.model.hf.rows import Drawing, TokenRows, table
from megatron_proxy.model.hf.tokens import Special, Tokens

SHARE: Final = 0.2
WAYS: Final = ("plain", "tables first", "distilled", "as long")
TABLES: Final = ("model.embed_tokens.weight", "lm_head.weight")
_IGNORED: Final = -100


@dataclass(frozen=True)
class Piece:
    """A stretch of one document in a window.

    Parameters
    ----------
    text
        Its bytes, whichever view they came in.
    places
        int64, a number for each byte: of the raw ids, where in the window they are; -1 for those of symbols.
    """

    text: bytes
    places: NDArray[np.int64]


class Teacher:
    """The original: how likely each byte is next, for the raw bytes of windows.

    Parameters
    ----------
    model
        Over tokens.
    compressor
        Its tokenizer.
    """

    def __init__(self, model: Any, compressor: Any) -> None:
        self.model, self._compressor = model.eval(), compressor
        self.ids_read = 0
        sizes = compressor.symbol_bytes()
        self._tokens = Tokens.of(compressor)
        symbols = np.flatnonzero(sizes)
        whole = compressor.decode(symbols.astype(np.int32) + vocab.NUM_BYTES)
        ends = np.cumsum(sizes[symbols])
        self.content = {int(token): whole[end - sizes[token] : end] for token, end in zip(symbols, ends, strict=True)}

    @cached_property
    def _sorted(self) -> list[int]:
        """Tokens by their bytes: those that begin alike are neighbours."""
        return sorted(self.content, key=lambda token: self.content[token])

    @cached_property
    def _beginnings(self) -> tuple[dict[bytes, int], NDArray[np.int64], NDArray[np.int64]]:
        """Of each beginning of a token: its number; by number, the neighbours that go on with each byte, and itself."""
        numbers: dict[bytes, int] = {}
        for token in self._sorted:
            content = self.content[token]
            for size in range(len(content)):
                numbers.setdefault(content[:size], len(numbers))
        ranges = np.zeros((2, len(numbers), vocab.NUM_BYTES), dtype=np.int64)
        whole = np.full(len(numbers), -1, dtype=np.int64)
        for place, token in enumerate(self._sorted):
            content = self.content[token]
            if content in numbers:
                whole[numbers[content]] = place
            for size, byte in enumerate(content):
                number = numbers[content[:size]]
                if not ranges[1, number, byte]:
                    ranges[0, number, byte] = place
                ranges[1, number, byte] = place + 1
        return numbers, ranges, whole

    def _read(self, piece: Piece) -> list[int]:
        """The tokens of a piece."""
        codes = self._compressor.encode(piece.text)
        return [
            int(self._tokens.single[code]) if code < vocab.NUM_BYTES else int(code) - vocab.NUM_BYTES for code in codes
        ]

    @torch.no_grad()
    def targets(self, batch: Sequence[Sequence[Piece]], length: int) -> Tensor:
        """How likely each byte is: float32, shape (windows, length, 256); zeros where nothing is known."""
        numbers, ranges, whole = self._beginnings
        made = np.zeros((len(batch), length, vocab.NUM_BYTES), dtype=np.float32)
        pieces = [(row, piece) for row, window in enumerate(batch) for piece in window if len(piece.text)]
        read = [self._read(piece) for _, piece in pieces]
        self.ids_read += sum(map(len, read))
        begin = self.model.config.bos_token_id
        ids = torch.full((len(read), max(map(len, read))), begin)
        for row, tokens in zip(ids, read, strict=True):
            row[1 : len(tokens)] = torch.tensor(tokens[:-1])
        likely = log_softmax(self.model(ids).logits[..., self._sorted], dim=-1).exp().numpy().astype(np.float64)
        sums = np.concatenate([np.zeros((*likely.shape[:2], 1)), likely.cumsum(-1)], axis=-1)
        for at, ((row, piece), tokens) in enumerate(zip(pieces, read, strict=True)):
            where = [(token, size) for token in range(len(tokens)) for size in range(len(self.content[tokens[token]]))]
            which = np.flatnonzero(piece.places >= 0)
            if not len(which):
                continue
            token, size = np.array(where)[which].T
            number = np.array([numbers[self.content[tokens[t]][:s]] for t, s in zip(token, size, strict=True)])
            of_byte = np.take_along_axis(sums[at, token], ranges[1, number], 1)
            of_byte -= np.take_along_axis(sums[at, token], ranges[0, number], 1)
            ended = np.where(whole[number] >= 0, likely[at, token, whole[number]], 0.0)
            came = np.frombuffer(piece.text, dtype=np.uint8)[which]
            of_byte[np.arange(len(which)), came] += ended
            made[row, piece.places[which]] = of_byte / of_byte.sum(1, keepdims=True)
        return torch.from_numpy(made)


def pieces(window: NDArray[np.int64], content: dict[int, bytes]) -> list[Piece]:
    """The documents in a window; of one that begins before it, what comes after its first line."""
    made, text, places = [], bytearray(), []
    for place, id_ in enumerate([*window.tolist(), vocab.EOS]):
        if id_ in (vocab.EOS, vocab.BOS):
            made.append(Piece(bytes(text), np.array(places, dtype=np.int64)))
            text, places = bytearray(), []
        elif id_ >= vocab.SYMBOL_OFFSET:
            text += content[id_ - vocab.SYMBOL_OFFSET]
            places += [-1] * len(content[id_ - vocab.SYMBOL_OFFSET])
        elif id_ >= vocab.BYTE_OFFSET:
            text.append(id_ - vocab.BYTE_OFFSET)
            places.append(place)
    first = made[0].text.find(b"\n") + 1
    return [Piece(made[0].text[first:], made[0].places[first:]), *made[1:]] if first else made[1:]


def byteified(original: Any, tokens: Tokens, seed: int) -> Any:
    """A model with the original's layers, whose tables have rows for specials and bytes."""
    config = transformers.AutoConfig.from_pretrained(original.name_or_path)
    rows = TokenRows(tokens, Special.of(config.to_dict(), len(tokens)))
    config.vocab_size = rows.known
    made = transformers.AutoModelForCausalLM.from_config(config).float()
    state = original.state_dict()
    for part, name in enumerate(TABLES):
        state[name] = table(rows, state[name], rows.known, Drawing(seed, config.initializer_range), part)
    made.load_state_dict(state)
    return made


def interleaved(prefix: Path, seed: int, samples: int) -> Windows:
    """The windows of a run's training: as ``--split 98,2,0`` leaves them."""
    views = PreparedViews(open_all([str(prefix)], "hf")[0], with_spans=True)
    modes = dict.fromkeys(("warmup_mode", "steady_mode", "final_mode"), Mode.INTERLEAVED)
    schedule = Schedule(initial_rate=0.5, peak_rate=0.5, final_rate=0.5, warmup=0.0, **modes)
    documents = range(round(0.98 * len(views.raw)))
    spec = PlanSpec(seed, experiment.CONTEXT, schedule, samples, samples, documents)
    plan = planner.build(spec, views.sizes)
    return Windows(plan, views.raw, views.codes, views.prepared.compressed.vocabulary, views.spans)


def train(model: Any, teacher: Teacher, windows: Windows, steps: int, rate: float, way: str) -> None:
    """Go on from the original as the experiment's arms do."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    warmup = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    model.train()
    for step in range(steps):
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name in TABLES or way != "tables first" or step >= steps // 10
        rows = [np.array(windows[step * experiment.BATCH + at]) for at in range(experiment.BATCH)]
        batch = torch.from_numpy(np.stack(rows))
        labels = batch[:, 1:].clone()
        labels[labels == vocab.PAD] = _IGNORED
        logits = model(batch[:, :-1]).logits
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        if way == "distilled":
            targets = teacher.targets([pieces(row, teacher.content) for row in rows], batch.shape[1])[:, 1:]
            of_bytes = log_softmax(logits, dim=-1)[..., vocab.BYTE_OFFSET : vocab.SYMBOL_OFFSET]
            known = targets.sum(-1) > 0
            loss = torch.where(known, -(targets * of_bytes).sum(-1), loss)
        optimizer.zero_grad(set_to_none=True)
        (loss.sum() / (labels != _IGNORED).sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def bpb(model: Any, documents: Sequence[NDArray[np.int64]], opener: int, source_bytes: int) -> float:
    """Bits per byte of documents' ids, each after ``opener``."""
    ids = (torch.tensor([opener, *document.tolist()]) for document in documents)
    return sum(nats_of(model, one, experiment.CONTEXT) for one in ids) / math.log(2) / source_bytes


def run(folder: Path, size: str, seed: int, way: str, compute: float | None = None) -> dict[str, Any]:
    """One run's figures; ``compute`` are its steps, where they are not the share of the original's."""
    torch.manual_seed(seed)
    prefix = folder / "data" / "lines"
    compressor = open_all([str(prefix)], "hf")[0].dataset.compressor("hf")
    original = transformers.AutoModelForCausalLM.from_pretrained(folder / f"{size}-{seed}" / "original").float()
    teacher = Teacher(original, compressor)
    shape = experiment.SIZES[size]
    steps = round(compute or SHARE * shape.steps)
    model = byteified(original, Tokens.of(compressor), seed)
    train(model, teacher, interleaved(prefix, seed, steps * experiment.BATCH), steps, shape.lr / 2, way)
    model.eval()
    lines = (folder / "corpus" / "held_out.jsonl").read_text(encoding="utf-8").splitlines()[: experiment.HELD_OUT]
    texts = [json.loads(line)["text"].encode() for line in lines]
    total = sum(map(len, texts))
    raw = [np.frombuffer(text, dtype=np.uint8).astype(np.int64) + vocab.BYTE_OFFSET for text in texts]
    codes = [compressor.encode(text).astype(np.int64) + vocab.BYTE_OFFSET for text in texts]
    return {
        "size": size,
        "seed": seed,
        "way": way,
        "steps": steps,
        "compute": steps + teacher.ids_read / 3 / experiment.BATCH / experiment.CONTEXT,
        "raw": bpb(model, raw, vocab.RAW_OPEN, total),
        "tokens": bpb(model, codes, vocab.COMPRESSED_OPEN, total),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=experiment.SIZES, default="small")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(experiment.SEEDS))
    args = parser.parse_args()
    for seed in args.seeds:
        compute = None
        for way in WAYS:
            found = run(args.folder, args.size, seed, way, compute)
            compute = found["compute"] if way == "distilled" else None
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
