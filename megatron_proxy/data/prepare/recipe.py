"""How a compressor is come by: built from its options and the corpus, or taken as it was made before.

A compressor that was made before comes from a prepared prefix, or from the description that ``train-compressor``
writes: ``FILE.json`` beside the compressor's files, each of them checked by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ... import compressors
from ...common.storage.files import replace_file
from ...compressors import Compressor
from ...compressors.base import Corpus
from ...errors import CompressorError, ConfigurationError, DatasetError
from ..dataset import manifest
from ..dataset.layout import MANIFEST
from ..dataset.manifest import StoredFile
from ..dataset.opened import PreparedDataset

FORMAT: Final = "megatron_proxy compressor"
VERSION: Final = 1


class _CorpusNeeded(BaseException):
    """A compressor that is only looked at wants to learn; no Exception, so that nothing on the way takes it for one."""


def _no_corpus() -> Iterator[bytes]:
    raise _CorpusNeeded


@dataclass(frozen=True)
class Recipe:
    """One compressor to be used: its name in the registry, and the options that were given; the others take defaults.

    One that was ``made`` before has no options.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    made: Compressor | None = None

    def make(self, corpus: Corpus) -> Compressor:
        """The compressor.

        Raises
        ------
        CompressorError
            An option out of range, or something to learn from that cannot be learnt from.
        """
        if self.made is not None:
            return self.made
        kind = compressors.get(self.name)
        return kind.build(kind.all_options(self.options), corpus)

    def checked(self) -> Recipe:
        """The same with its compressor, or without one where it has yet to learn.

        This is where options, and files or packages that they need, are looked at before a corpus is.

        Raises
        ------
        ProxyError
            What the compressor says of them.
        """
        if self.made is not None:
            return self
        try:
            return replace(self, options={}, made=self.make(_no_corpus))
        except _CorpusNeeded:
            return self

    def check_shard(self) -> None:
        """Refuse a compressor that has yet to learn where a part of the corpus is seen only (ConfigurationError)."""
        if self.made is None:
            raise ConfigurationError(
                f"the {self.name} compressor learns from the corpus, of which a shard sees only a part",
                where="--shard",
                fix=f"let it learn once: megatron-proxy train-compressor {self.name} --input … --output FILE; "
                "then give --compressor-from FILE.json to every shard",
            )


def recipes(names: Sequence[str], options: Mapping[str, Mapping[str, Any]], sources: Sequence[str]) -> list[Recipe]:
    """The recipes for compressors by name.

    Parameters
    ----------
    names
        Which compressors.
    options
        The options given, by compressor.
    sources
        Prepared prefixes and descriptions; a compressor that is in one of them is taken from there.

    Raises
    ------
    CompressorError
        An unknown name, with the known ones.
    ConfigurationError
        Options for a compressor that is not used, or that is taken as it is; a source without any use.
    """
    for name in names:
        compressors.get(name)
    made: dict[str, Compressor] = {}
    for source in sources:
        found = from_source(source, names)
        if not found:
            raise ConfigurationError(
                f"{source!r} has no compressor called {', '.join(names)}", where="--compressor-from"
            )
        made = found | made
    for name, given in options.items():
        flag = f"--{name}-{next(iter(given))}"
        if name not in names:
            raise ConfigurationError(f"--compressor does not name {name}", where=flag)
        if name in made:
            raise ConfigurationError("the compressor is taken as it is from --compressor-from", where=flag)
    return [Recipe(name, options.get(name, {}), made.get(name)) for name in names]


def from_source(source: str, names: Sequence[str]) -> dict[str, Compressor]:
    """Those of the compressors ``names`` that a prepared prefix or a description holds; neither is a DatasetError."""
    if source.endswith(".json") and not source.endswith(MANIFEST):
        described = load(Path(source))
        return {described.name: described} if described.name in names else {}
    prepared = PreparedDataset.open(source.removesuffix(MANIFEST))
    return {name: prepared.compressor(name) for name in names if name in prepared.manifest.compressed}


def save(compressor: Compressor, path: Path) -> list[Path]:
    """Write a compressor's files and its description ``PATH.json``; returns what was written.

    A compressor with one file puts it at ``path`` itself, one with several at ``PATH.<suffix>``.
    """
    content = compressor.files()
    places = {suffix: path if len(content) == 1 else Path(f"{path}.{suffix}") for suffix in content}
    stored = {
        suffix: StoredFile(places[suffix].name, len(file), hashlib.sha256(file).hexdigest())
        for suffix, file in content.items()
    }
    description = {
        "format": FORMAT,
        "version": VERSION,
        "compressor": compressor.name,
        "config": compressor.config(),
        "fingerprint": compressor.fingerprint,
        "files": {suffix: asdict(file) for suffix, file in stored.items()},
    }
    for suffix, place in places.items():
        replace_file(place, content[suffix])
    described = Path(f"{path}.json")
    replace_file(described, (json.dumps(description, indent=2) + "\n").encode())
    return [*places.values(), described]


def load(path: Path) -> Compressor:
    """The compressor that a description describes.

    Raises
    ------
    DatasetError
        If the description or a file of it cannot be read, or is not what was written.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise DatasetError(f"this is not a description of a compressor, version {VERSION}", where=str(path))
        files = {
            manifest.name_in_folder(suffix): manifest.read_checked(path.parent, manifest.stored_file(stored))
            for suffix, stored in content["files"].items()
        }
        compressor = compressors.load(str(content["compressor"]), content["config"], files, str(path))
        fingerprint = content["fingerprint"]
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})", where=str(path)) from error
    except (DatasetError, CompressorError):
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"the description is damaged ({type(error).__name__}: {error})", where=str(path), fix="train it again"
        ) from error
    if compressor.fingerprint != fingerprint:
        raise DatasetError("the compressor has another fingerprint than its description says", where=str(path))
    return compressor
