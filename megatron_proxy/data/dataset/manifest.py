"""What a prepared dataset is: ``PREFIX_manifest.json`` beside the views.

The manifest is written last and atomically, so views without a manifest entry are not a dataset. It names every file
by its base name: paths in a manifest cannot leave its folder. It holds the checksums of all files, and its own.

For a prefix ``data/stdlib`` and the compressor ``zstd`` the files are ``data/stdlib_raw_document.{bin,idx}``,
``data/stdlib_zstd_document.{bin,idx}``, ``data/stdlib_zstd_spans.{bin,idx}`` (only of compressors with spans), and
``data/stdlib_zstd_<suffix>`` for each file of the compressor; where symbols stand for bytes of their own,
``data/stdlib_zstd_symbol-bytes.int32`` says how many. Entries that a release adds are optional for later ones to read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ... import compressors
from ...common.usage import closest
from ...errors import DatasetError
from ...vocab import Vocabulary

FORMAT: Final = "megatron_proxy manifest"
VERSION: Final = 1

_PREPARE_AGAIN: Final = "prepare the view again"
_PREPARE_ALL: Final = "prepare the corpus again"
_READ_BYTES: Final = 1 << 20


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

    Parameters
    ----------
    table
        The file of what the compressor's ``symbol_bytes()`` gave, as little-endian int32; None where it gave none.
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


def path_of(prefix: str | os.PathLike[str]) -> Path:
    """``PREFIX_manifest.json``."""
    return Path(f"{os.fspath(prefix)}_manifest.json")


def read(prefix: str | os.PathLike[str]) -> Manifest:
    """The manifest of a prepared prefix.

    Raises
    ------
    DatasetError
        If the prefix is not prepared (with the command that prepares it), or its manifest cannot be used.
    """
    path = path_of(prefix)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{os.fspath(prefix)!r} is not a prepared dataset: {path.name} cannot be read ({error.strerror})",
            where=str(path),
            fix=prepare_command(prefix, "zstd"),
        ) from error
    return Manifest.from_json(text, str(path))


def write(prefix: str | os.PathLike[str], manifest: Manifest) -> None:
    """Write ``PREFIX_manifest.json`` atomically and durably."""
    replace_file(path_of(prefix), manifest.to_json().encode())


def own_paths(prefix: str | os.PathLike[str], files: Iterable[StoredFile]) -> list[Path]:
    """Where those of some files are that bear the prefix's name: the ones that may be removed with it.

    A manifest by somebody else may name any file of its folder; that must not cost another dataset its files.
    """
    path = Path(prefix)
    return [path.parent / stored.name for stored in files if stored.name.startswith(f"{path.name}_")]


def prepare_command(prefix: str | os.PathLike[str], name: str) -> str:
    """The command, for a shell, that prepares a prefix with a compressor."""
    quoted = shlex.quote(os.fspath(prefix))
    return f"megatron-proxy prepare --input CORPUS.jsonl --output-prefix {quoted} --compressor {name}"


def compressed_view(prefix: str | os.PathLike[str], manifest: Manifest, name: str) -> CompressedView:
    """The compressed view called ``name``, or a DatasetError that says how to make it."""
    if name not in manifest.compressed:
        meant = closest(name, manifest.compressed)
        make = prepare_command(prefix, name)
        raise DatasetError(
            f"{os.fspath(prefix)!r} has no {name} view; it has: {', '.join(manifest.compressed) or 'none'}",
            where=str(path_of(prefix)),
            fix=make if meant is None else f"did you mean {meant!r}? If not: {make}",
        )
    return manifest.compressed[name]


def load_compressor(prefix: str | os.PathLike[str], name: str) -> compressors.Compressor:
    """The compressor that made the view ``name`` of ``prefix``, its files checked by their SHA-256.

    Raises
    ------
    DatasetError
        If a file is missing or damaged, or the compressor built from them has another fingerprint.
    """
    return build_compressor(prefix, name, compressed_view(prefix, read(prefix), name))


def build_compressor(prefix: str | os.PathLike[str], name: str, entry: CompressedView) -> compressors.Compressor:
    """:func:`load_compressor`, where the manifest has been read already."""
    folder = Path(prefix).parent
    files = {suffix: read_checked(folder, stored) for suffix, stored in entry.files.items()}
    compressor = compressors.load(name, entry.config, files, str(path_of(prefix)))
    if compressor.fingerprint != entry.fingerprint:
        raise DatasetError(
            f"the {name} compressor in this manifest has another fingerprint than the view it made",
            where=str(path_of(prefix)),
            fix=f"prepare the {name} view again",
        )
    return compressor


def symbol_bytes(prefix: str | os.PathLike[str], name: str, entry: CompressedView) -> NDArray[np.int32] | None:
    """Source bytes that each symbol of a view stands for; None where that depends on context.

    Only for a dataset that does not keep them is the compressor built.

    Returns
    -------
    int32, shape (num_symbols,).

    Raises
    ------
    DatasetError
        If a file is missing or damaged.
    """
    if entry.symbol_bytes is None:
        return build_compressor(prefix, name, entry).symbol_bytes()
    if (stored := entry.symbol_bytes.table) is None:
        return None
    content = read_checked(Path(prefix).parent, stored)
    if len(content) != 4 * entry.num_symbols:
        raise DatasetError(
            f"the table has {len(content):,} bytes, {entry.num_symbols:,} symbols need {4 * entry.num_symbols:,}",
            where=str(Path(prefix).parent / stored.name),
            fix=_PREPARE_AGAIN,
        )
    return np.frombuffer(content, dtype="<i4")


def read_checked(folder: Path, stored: StoredFile) -> bytes:
    """The content of a stored file, if it is what the manifest says."""
    path = folder / stored.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})", where=str(path), fix=_PREPARE_AGAIN) from error
    if hashlib.sha256(content).hexdigest() != stored.sha256:
        raise DatasetError("the content is not what the manifest says", where=str(path), fix=_PREPARE_AGAIN)
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


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside ``path`` and rename it over ``path``: readers see the old or the new one, whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
