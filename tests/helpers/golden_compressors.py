"""The small compressors of the golden codes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from megatron_proxy import compressors
from megatron_proxy.compressors import Compressor

FIXTURES = Path(__file__).parents[1] / "fixtures"
# It holds a view that was made elsewhere, and cannot encode.
NO_ENCODER = ("imported",)
NAMES = [name for name in compressors.names() if name not in NO_ENCODER]


@cache
def record(name: str) -> dict[str, Any]:
    """What the fixture of a name holds: a compressor's settings and codes, or those of another form of one."""
    found: dict[str, Any] = json.loads((FIXTURES / name / "golden.json").read_text())
    return found


@cache
def files_of(name: str) -> dict[str, bytes]:
    """The compressor's files beside it, by suffix."""
    return {suffix: (FIXTURES / name / suffix).read_bytes() for suffix in record(name)["files"]}


def golden(name: str) -> Compressor:
    """The compressor of a fixture."""
    return load(name, record(name)["config"], files_of(name))


def load(name: str, config: dict[str, Any], files: dict[str, bytes]) -> Compressor:
    """The compressor of a fixture's kind with another config and other files."""
    return compressors.load(record(name).get("compressor", name), config, files)
