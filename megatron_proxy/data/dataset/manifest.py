"""What a prepared dataset is: ``PREFIX_manifest.json`` beside the views.

The manifest is written last and atomically, so views without a manifest entry are not a dataset. It names every file
by its base name: paths in a manifest cannot leave its folder. It holds the checksums of all files, and its own.

:mod:`.layout` says how the files are called. Entries that a release adds are optional for later ones to read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from ...errors import DatasetError
from ...vocab import Vocabulary
from .layout import Layout

FORMAT: Final = "megatron_proxy manifest"
VERSION: Final = 1

PREPARE_AGAIN: Final = "prepare the view again"
_PREPARE_ALL: Final = "prepare the corpus again"
_READ_BYTES: Final = 1 << 20
_GIVEN: Final = "given_codes"


@dataclass(frozen=True)
class StoredFile:
    """One file of the dataset: base name, size in bytes, SHA-256 (hex)."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class View:
    """One IndexedDataset.

    Parameters
    ----------
    bin, idx
        Its two files.
    dtype
        Of its units.
    units
        Number of units (bytes or codes) in all.
    below_256
        How many of them are below 256: in a compressed view with literals, the literal bytes.
    """

    bin: StoredFile
    idx: StoredFile
    dtype: str
    units: int
    below_256: int

    def stored_files(self) -> list[StoredFile]:
        """The files of the view."""
        return [self.bin, self.idx]


@dataclass(frozen=True)
class SymbolBytes:
    """Source bytes of each symbol, kept so that training need not build the compressor.

    ``table`` is the file of what the compressor's ``symbol_bytes()`` gave, as little-endian int32; None if nothing.
    """

    table: StoredFile | None


@dataclass(frozen=True)
class CompressedView:
    """A compressed view and the compressor that made it.

    ``spans`` holds two numbers per span, (bytes, codes) as uint16, one sequence per document; None without spans.
    ``symbol_bytes`` is None in datasets of releases that did not keep it.
    """

    config: dict[str, Any]
    fingerprint: str
    num_symbols: int
    literals: bool
    lossless: bool
    view: View
    spans: View | None = None
    files: dict[str, StoredFile] = field(default_factory=dict)
    symbol_bytes: SymbolBytes | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The ids of a run on this view."""
        return Vocabulary(self.num_symbols, self.literals)

    @property
    def literal_bytes(self) -> int:
        """How many codes of the view are literal bytes."""
        return self.view.below_256 if self.literals else 0

    def stored_files(self) -> list[StoredFile]:
        """The files of the view, of its spans and of its compressor."""
        of_views = [stored for view in self.stored_views() for stored in view.stored_files()]
        table = self.symbol_bytes.table if self.symbol_bytes else None
        return [*of_views, *self.files.values(), *([table] if table else [])]

    def stored_views(self) -> list[View]:
        """The codes, and the spans if there are any."""
        return [self.view] if self.spans is None else [self.view, self.spans]


@dataclass(frozen=True)
class Manifest:
    """A prepared dataset.

    Parameters
    ----------
    documents
        Number of documents; every view has one sequence per document, in the order of the corpus.
    raw
        The raw view: uint8, its units are the UTF-8 bytes of the corpus.
    compressed
        The compressed views, by compressor.
    source
        Where the documents came from: inputs (base names), JSON key, count of skipped lines.
    versions
        What wrote it: packages and libraries with their versions.
    """

    documents: int
    raw: View
    compressed: dict[str, CompressedView] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def with_compressed(self, name: str, view: CompressedView) -> Self:
        """The same dataset with one compressed view added or replaced."""
        return self.with_views({**self.compressed, name: view})

    def with_views(self, views: Mapping[str, CompressedView]) -> Self:
        """The same dataset with these compressed views, sorted by name."""
        return replace(self, compressed=dict(sorted(views.items())))

    def given(self, name: str) -> Mapping[str, Any] | None:
        """What is told of where a view's codes come from, if its compressor has not made them: it may make others."""
        told: Mapping[str, Any] | None = self.source.get(_GIVEN, {}).get(name)
        return told

    def with_given(self, name: str, given: Mapping[str, Any] | None) -> Self:
        """The same dataset, with what is told of where a view's codes come from; None if its compressor made them."""
        told = {other: value for other, value in self.source.get(_GIVEN, {}).items() if other != name}
        told |= {} if given is None else {name: dict(given)}
        source = {key: value for key, value in self.source.items() if key != _GIVEN}
        return replace(self, source=source | ({_GIVEN: told} if told else {}))

    def stored_files(self) -> list[StoredFile]:
        """Every file of the dataset but the manifest."""
        return [*self.raw.stored_files(), *(file for view in self.compressed.values() for file in view.stored_files())]

    def to_json(self) -> str:
        """The manifest file's content."""
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps({**content, "checksum": _checksum(content)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Parse a manifest file's content; ``where`` names the file in errors.

        Raises
        ------
        DatasetError
            Not a manifest, one of another version, or a damaged one.
        """
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or content.get("format") != FORMAT:
                raise DatasetError("this is not a megatron_proxy manifest", where=where, fix=_PREPARE_ALL)
            if (version := content.get("version")) != VERSION:
                raise DatasetError(
                    f"manifest version {version} cannot be read by this release, which reads version {VERSION}",
                    where=where,
                    fix="prepare the corpus again, or install the release that wrote it",
                )
            if content.pop("checksum", None) != _checksum(content):
                raise DatasetError("the manifest is damaged: its checksum does not fit", where=where, fix=_PREPARE_ALL)
            manifest = cls(
                documents=_integer(content["documents"]),
                raw=_view(content["raw"]),
                compressed={name_in_folder(name): _compressed(view) for name, view in content["compressed"].items()},
                source=dict(content["source"]),
                versions={str(name): str(version) for name, version in content["versions"].items()},
            )
        except DatasetError as error:
            raise DatasetError(error.what, where=error.where or where, fix=error.fix) from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DatasetError(
                f"the manifest is damaged ({type(error).__name__}: {error})",
                where=where,
                fix=_PREPARE_ALL,
            ) from error
        return manifest


def read(prefix: str | os.PathLike[str]) -> Manifest:
    """The manifest of a prepared prefix.

    Raises
    ------
    DatasetError
        If the prefix is not prepared (with the command that prepares it), or its manifest cannot be used.
    """
    path = Layout(prefix).manifest
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{os.fspath(prefix)!r} is not a prepared dataset: {path.name} cannot be read ({error.strerror})",
            where=str(path),
            fix=prepare_command(prefix, "zstd"),
        ) from error
    return Manifest.from_json(text, str(path))


def prepare_command(prefix: str | os.PathLike[str], name: str) -> str:
    """The command, for a shell, that prepares a prefix with a compressor."""
    quoted = shlex.quote(os.fspath(prefix))
    return f"megatron-proxy prepare --input CORPUS.jsonl --output-prefix {quoted} --compressor {name}"


def read_checked(folder: Path, stored: StoredFile) -> bytes:
    """The content of a stored file, if it is what the manifest says."""
    path = folder / stored.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})", where=str(path), fix=PREPARE_AGAIN) from error
    if hashlib.sha256(content).hexdigest() != stored.sha256:
        raise DatasetError("the content is not what the manifest says", where=str(path), fix=PREPARE_AGAIN)
    return content


def sha256_of(path: str | os.PathLike[str], advance: Callable[[int], None] | None = None) -> str:
    """SHA-256 (hex) of a file's content; ``advance`` hears of every stretch of bytes that was read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
            if advance is not None:
                advance(len(block))
    return digest.hexdigest()


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over everything else in the manifest, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"expected a count, found {value!r}")
    return value


def stored_file(value: Mapping[str, Any]) -> StoredFile:
    """Parse one file's entry; its name cannot leave the folder."""
    return StoredFile(name_in_folder(value["name"]), _integer(value["size"]), str(value["sha256"]))


def name_in_folder(value: object) -> str:
    """A name out of a manifest that is used in a path: one part, which a file system takes.

    Raises
    ------
    DatasetError
        For one that leads elsewhere (a slash, ``..``), or that no file can have (a NUL, half a surrogate pair).
    """
    name = str(value)
    if name != os.path.basename(name) or name in ("", ".", ".."):
        raise DatasetError(f"the file name {name!r} leaves the manifest's folder")
    try:
        usable = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise DatasetError(f"no file can have the name {name!r}")
    return name


def _view(value: Mapping[str, Any]) -> View:
    units, below_256 = _integer(value["units"]), _integer(value["below_256"])
    if below_256 > units:
        raise ValueError(f"{below_256} of {units} units cannot be below 256")
    return View(stored_file(value["bin"]), stored_file(value["idx"]), str(value["dtype"]), units, below_256)


def _compressed(value: Mapping[str, Any]) -> CompressedView:
    spans = value["spans"]
    return CompressedView(
        config=dict(value["config"]),
        fingerprint=str(value["fingerprint"]),
        num_symbols=_integer(value["num_symbols"]),
        literals=bool(value["literals"]),
        lossless=bool(value["lossless"]),
        view=_view(value["view"]),
        spans=None if spans is None else _view(spans),
        files={name_in_folder(suffix): stored_file(stored) for suffix, stored in value["files"].items()},
        symbol_bytes=_symbol_bytes(value.get("symbol_bytes")),
    )


def _symbol_bytes(value: Mapping[str, Any] | None) -> SymbolBytes | None:
    if value is None:
        return None
    return SymbolBytes(None if value["table"] is None else stored_file(value["table"]))
