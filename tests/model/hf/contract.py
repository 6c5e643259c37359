"""What releases of transformers make of an exported folder, and which releases were seen to do so: contract.json.

    python tests/model/hf/contract.py          # adds the installed release; tests/transformers.sh does it for several

The contract holds digests of the files that decide what a release does, its answers, and the releases that gave them.
So as long as the files are the same, those releases load an export, without being installed. Files that change begin a
new contract; a release that answers otherwise than those before it is an error.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

sys.path.append(str(Path(__file__).parents[2] / "helpers"))

import random_model
import torch

from megatron_proxy.model.hf import export

CONTRACT: Final = Path(__file__).with_name("contract.json")
FILES: Final = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
TEXTS: Final = ("def f(x):\n\treturn 'é<raw></raw>😀'\x00\r\n", "x")


def make(folder: Path) -> None:
    """Export a model with random weights, always the same."""
    export(random_model.checkpoint(), folder, dtype=torch.float32)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files by name."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def answers(folder: Path) -> dict[str, Any]:
    """What the installed release says: what its tokenizer gives to the model, and what the model writes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    alone = tokenizer(TEXTS[1], return_tensors="pt")
    batch = tokenizer(list(TEXTS), return_tensors="pt", padding=True)
    return {
        "model": type(model).__name__,
        "batch": {key: value.tolist() for key, value in sorted(batch.items())},
        "decoded": tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True),
        "written": model.generate(**alone, max_new_tokens=12)[0].tolist(),
    }


def main() -> int:
    """Add the installed release."""
    from transformers import __version__ as release

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "exported")
        make(folder)
        found = {"files": digests(folder), "answers": answers(folder)}
    before = json.loads(CONTRACT.read_text()) if CONTRACT.exists() else {}
    if before.get("files") == found["files"] and before["answers"] != found["answers"]:
        print(f"transformers {release} answers otherwise than {', '.join(before['releases'])}", file=sys.stderr)
        print(json.dumps(found["answers"]), file=sys.stderr)
        return 1
    known = before["releases"] if before.get("files") == found["files"] else []
    content = {"releases": sorted({*known, release}), **found}
    # A line for each thing that may change.
    lines = [f'"{key}": {json.dumps(value)}' for key, value in content.items()]
    CONTRACT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"contract.json: transformers {', '.join(content['releases'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
