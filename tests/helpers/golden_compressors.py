"""The small compressors of the golden codes."""

import json
from pathlib import Path

from megatron_proxy import compressors
from megatron_proxy.compressors import Compressor

FIXTURES = Path(__file__).parents[1] / "fixtures"
# It holds a view that was made elsewhere, and cannot encode.
NO_ENCODER = ("imported",)
NAMES = [name for name in compressors.names() if name not in NO_ENCODER]


def golden(name: str) -> Compressor:
    """The one of a name."""
    folder = FIXTURES / name
    made = json.loads((folder / "golden.json").read_text())
    return compressors.load(name, made["config"], {suffix: (folder / suffix).read_bytes() for suffix in made["files"]})
