"""``README.md``: the model card, with how to load the model, its shape and training, and figures where there are some.

The licence is the user's to choose: the field is there, and empty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from ...vocab import NUM_SPECIALS
from ..network import Architecture
from .views import ExportedView

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint


@dataclass(frozen=True)
class Evaluated:
    """What ``megatron-proxy evaluate --output`` found of some documents.

    Parameters
    ----------
    file
        The file that says so.
    iteration
        The iteration of the checkpoint that was evaluated; None for a release.
    corpus
        Names of the documents' files.
    documents, bytes
        How many.
    bpb
        Bits per byte of the exported model: under specials and bytes alone.
    accuracy
        Share of bytes that were the first choice.
    """

    file: Path
    iteration: int | None
    corpus: str
    documents: int
    bytes: int
    bpb: float
    accuracy: float


def read_evaluation(path: Path) -> Evaluated:
    """Read the figures of a raw view.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or ``evaluate`` did not write it, or wrote it about the compressed view.
    """
    where, fix = f"--evaluation {path}", "name what `megatron-proxy evaluate --output FILE` wrote"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise ConfigurationError(f"cannot be read ({reason})", where=where, fix=fix) from error
    try:
        evaluation = Evaluated(
            path,
            None if found["iteration"] is None else int(found["iteration"]),
            ", ".join(Path(str(name)).name for name in found["files"]),
            int(found["documents"]),
            int(found["bytes"]),
            float(found["bpb_of_bytes_alone" if found["view"] == "raw" else "bpb"]),
            float(found["accuracy"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError("holds no figures of an evaluation", where=where, fix=fix) from error
    if found["view"] != "raw":
        raise ConfigurationError(
            "its figures are of the compressed view, which the exported model does not have", where=where
        )
    return evaluation


def check_iterations(evaluations: Sequence[Evaluated], iteration: int | None) -> None:
    """Refuse figures of another iteration than the exported one.

    Raises
    ------
    ConfigurationError
        Naming the file.
    """
    for one in evaluations:
        if one.iteration != iteration:
            raise ConfigurationError(
                f"its figures are of iteration {one.iteration}, and {iteration} is exported",
                where=f"--evaluation {one.file}",
                fix="evaluate the checkpoint that is exported, or choose with --iteration",
            )


def model_card(
    name: str,
    checkpoint: Checkpoint,
    shape: Architecture,
    config: dict[str, Any],
    evaluations: Sequence[Evaluated],
    view: ExportedView,
) -> str:
    """The file's content, in a folder of this name, from which the model is loaded, and with this ``config.json``."""
    name = " ".join(name.split())
    what = _WHAT[view.name] + _MADE.format(config["architectures"][0])
    loading = _loading(name, _TOKENIZERS[view.name])
    sections = [_HEAD, f"# {name}", what, loading, _table(checkpoint, shape, config, view), _figures(evaluations)]
    return "\n\n".join([*sections, _LICENCE]) + "\n"


_HEAD = """---
library_name: transformers
pipeline_tag: text-generation
license: # yours to choose, by what the model was trained on
---"""

_MADE = """It was
trained with [proxy compression](https://arxiv.org/abs/2602.04289) and exported by `megatron-proxy export`, as a
`{}` that needs no remote code and no compressor."""

_WHAT = {
    "raw": f"""A language model that reads and writes raw bytes: its ids are 256 bytes and {NUM_SPECIALS} specials. """,
    "compressed": """A language model over the tokens of its tokenizer: the compressed view of a model that reads raw
bytes too, to compare it with the model that it began from. """,
}
_TOKENIZERS = {
    "raw": "The tokenizer puts the special in front that opens a text, and pads batches on the left.",
    "compressed": "The tokenizer is that of the model that it began from.",
}

_LICENCE = """## Licence

None is given. Whoever publishes the model chooses one, and puts it into the field `license` at the top of this file."""


def _loading(name: str, tokenizer: str) -> str:
    path = json.dumps(name, ensure_ascii=False)
    return f"""## Loading

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({path})
tokenizer = AutoTokenizer.from_pretrained({path})
inputs = tokenizer("def read(", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=60)[0], skip_special_tokens=True))
```

{tokenizer}"""


def _table(checkpoint: Checkpoint, shape: Architecture, config: dict[str, Any], view: ExportedView) -> str:
    args = checkpoint.args
    samples, mode = (getattr(args, name, None) for name in ("consumed_train_samples", "proxy_mode"))
    rows = {
        "layers, width, heads": f"{shape.layers}, {shape.hidden}, {shape.heads}",
        "context": f"{shape.context:,} ids" + (", each a byte" if view.name == "raw" else ""),
        "weights in": config["torch_dtype"],
        "trained for": None if checkpoint.iteration is None else f"{checkpoint.iteration:,} steps",
        "windows trained on": f"{samples:,}" if samples else None,
        "compressor of the training": args.proxy_compression,
        "mode": getattr(mode, "value", mode),
    }
    lines = [f"| {label} | {value} |" for label, value in rows.items() if value is not None]
    return "\n".join(["## Model and training", "", "| | |", "| --- | --- |", *lines])


def _figures(evaluations: Sequence[Evaluated]) -> str:
    if not evaluations:
        return (
            "## Figures\n\nNone are known here. `megatron-proxy evaluate --output FILE` measures bits per byte of the "
            "checkpoint, and\n`megatron-proxy export --evaluation FILE` puts them into this card."
        )
    rows = [
        f"| {_cell(one.corpus)} | {one.documents:,} | {one.bytes:,} | {one.bpb:.4f} | {one.accuracy:.1%} |"
        for one in evaluations
    ]
    return "\n".join(
        [
            "## Figures",
            "",
            "Bits per byte of raw text under this model's ids (`bpb_of_bytes_alone` of `megatron-proxy evaluate`).",
            "",
            "| corpus | documents | bytes | bits per byte | next byte right |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
