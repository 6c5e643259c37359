"""The task ``raw_bytes`` of lm-evaluation-harness: bits per byte of the documents in a JSONL file.

    lm_eval run --model hf --model_args pretrained=exported/run,add_bos_token=False --tasks raw_bytes \
      --include_path megatron_proxy/evaluation/lm_eval --metadata '{"file": "held_out.jsonl"}'

``add_bos_token=False`` keeps the tokenizer from putting ``<raw>`` in front: the harness begins every document with it
anyway, and would count the second one as something to be predicted. Nothing of megatron_proxy is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import datasets


def documents(file: str | None = None, key: str = "text", **_: Any) -> dict[str, datasets.Dataset]:
    """The documents of ``file``, a JSONL file with the text under ``key``; both come from ``--metadata``."""
    if file is None:
        raise ValueError('which documents? Give --metadata \'{"file": "held_out.jsonl"}\'')
    return {"test": datasets.Dataset.from_dict({"text": list(_texts(file, key))})}


def _texts(file: str, key: str) -> Iterator[str]:
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get(key), str):
                raise ValueError(f"{file}:{number}: no text under the key {key!r}")
            yield record[key]


def text(doc: dict[str, Any]) -> str:
    """What is to be predicted: the document as it is."""
    return str(doc["text"])


def process_results(doc: dict[str, Any], results: tuple[float]) -> dict[str, tuple[float, int]]:
    """Nats of a document (negative) and its UTF-8 bytes, by metric."""
    (loglikelihood,) = results
    size = len(text(doc).encode())
    return {"bits_per_byte": (loglikelihood, size), "byte_perplexity": (loglikelihood, size)}
