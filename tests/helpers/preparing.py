"""A tiny corpus, and ways to look at what was prepared from it."""

import json
from pathlib import Path

import numpy as np

from megatron_proxy.data.dataset import reader
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.opened import PreparedDataset

TEXTS = [
    "def f():\r\n\treturn 0\n",
    "",
    "NUL \0 inside\nand more",
    "🦜 ćé\n\n",
    "\udc80\udcff",
    "the last one\n" * 3,
]
DOCUMENTS = [text.encode("utf-8", "surrogateescape") for text in TEXTS]


def write_corpus(path, texts=TEXTS, key="text"):
    """One JSON object a line; returns the path as a string."""
    Path(path).write_text("".join(json.dumps({key: text}) + "\n" for text in texts))
    return str(path)


def files_of(folder, prefix="p"):
    """Name (without the prefix) and content of all files of a prefix; in the manifest the prefix is called p."""
    found = {path.name.removeprefix(prefix): path.read_bytes() for path in Path(folder).glob(f"{prefix}_*")}
    if "_manifest.json" in found:
        content = json.loads(found["_manifest.json"])
        # It depends on the names, and on nothing else that is not in here.
        del content["checksum"]
        found["_manifest.json"] = json.dumps(content).replace(f'"{prefix}_', '"p_')
    return found


def leftovers(folder):
    """Hidden files: locks, half-made views, partitions."""
    return sorted(path.name for path in Path(folder).glob(".*"))


def decoded(prefix, name):
    """The documents as the compressor in the manifest gives them back."""
    compressor = PreparedDataset.open(prefix).compressor(name)
    view = reader.ViewReader(Layout(prefix).codes(name))
    return [compressor.decode(np.array(view.get(index))) for index in range(len(view))]


def raw_documents(prefix):
    """The documents of the raw view."""
    view = reader.ViewReader(Layout(prefix).raw)
    return [view.get(index).tobytes() for index in range(len(view))]
