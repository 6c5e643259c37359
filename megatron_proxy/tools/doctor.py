"""Would training start? Versions, hooks, patched scripts and prepared views, looked at without changing anything.

Other modules are imported once it is known that what they need is there: a missing package is what this one must find.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import platform
import re
import shlex
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final, NamedTuple

from ..common import extras
from ..errors import ProxyError, UnsupportedError

_OLDEST_PYTHON: Final = (3, 12)
_TRAINING: Final = "train"
"""The extra that training needs."""
_LOOKED_AT_APART: Final = ("megatron-core", "torch")
_FASTER_WITH: Final = {
    "transformer-engine": f"fused kernels and FP8: {extras.install('gpu')}",
    "apex": "fused optimizers: it comes with NVIDIA's PyTorch container (PyPI's apex is another project)",
}


class Status(StrEnum):
    """How a finding bears on training."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"


class Finding(NamedTuple):
    """One thing looked at: what, how it stands, and what to do if it does not stand well."""

    status: Status
    subject: str
    text: str
    fix: str | None = None


def examine(megatron_lm: Path | None = None, prefix: str | None = None) -> Iterator[Finding]:
    """Look at everything that a run needs; at a checkout in place of the installed megatron-core, if one is given."""
    for_data = [_python(), *_packages(None)]
    for_training = [*_packages(_TRAINING), *_torch()]
    yield from (*for_data, *for_training, *_libraries())
    if not _complete(for_data):
        yield Finding(Status.NOTE, "hooks, data", "not looked at: that needs the packages above")
        return
    if megatron_lm is not None:
        yield from _scripts(megatron_lm)
        sys.path.insert(0, str(megatron_lm))
    if _complete(for_training):
        yield from _hooks()
    else:
        yield Finding(Status.NOTE, "hooks", "not looked at: that needs the packages above")
    if prefix is not None:
        yield from _dataset(prefix)


def next_command(megatron_lm: Path | None, prefix: str | None, compressor: str | None) -> str:
    """The command that comes next for this user, as a shell takes it."""
    from . import patching

    if megatron_lm is not None and not _complete(_scripts(megatron_lm)):
        return shlex.join(["megatron-proxy", "patch", str(megatron_lm)])
    if prefix is None or compressor is None:
        path = shlex.quote(prefix or "data/corpus")
        return f"megatron-proxy prepare --input CORPUS.jsonl --output-prefix {path} --compressor zstd"
    flags = shlex.join(["--data-path", prefix, "--proxy-compression", compressor])
    script = shlex.quote(str(megatron_lm / patching.SCRIPTS[0])) if megatron_lm else "-m megatron_proxy.pretrain_gpt"
    return f"torchrun … {script} … {flags}"


def best_compressor(prefix: str | None) -> str | None:
    """The compressed view of a prefix to begin with: no control if there is another, and the shortest such.

    None if the prefix is not prepared or has no view that can be used.
    """
    from ..data.dataset.opened import PreparedDataset

    if prefix is None:
        return None
    try:
        dataset = PreparedDataset.open(prefix)
        views = dataset.manifest.compressed
        controls = {name: dataset.compressor(name).control for name in views}
    except ProxyError:
        return None
    return min(views, key=lambda name: (controls[name], views[name].view.units, name), default=None)


def _python() -> Finding:
    found = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        return Finding(Status.FAIL, "python", found, "megatron-core 0.17 and later need Python 3.12")
    return Finding(Status.OK, "python", found)


def _complete(findings: Iterable[Finding]) -> bool:
    return all(finding.status is not Status.FAIL for finding in findings)


def _packages(extra: str | None) -> Iterator[Finding]:
    """What data alone needs (``extra`` is None), or what an extra adds to it."""
    for name in _needs(extra):
        found = _version(name)
        fix = extras.install(extra) if extra else f"pip install {name}"
        yield Finding(Status.OK, name, found) if found else Finding(Status.FAIL, name, "not installed", fix)


def _libraries() -> Iterator[Finding]:
    """What comes inside a package, or makes training faster."""
    if importlib.util.find_spec("zstandard"):
        import zstandard

        yield Finding(Status.OK, "zstd library", ".".join(map(str, zstandard.ZSTD_VERSION)))
    for name, gain in _FASTER_WITH.items():
        module = name.replace("-", "_")
        found = _version(name) or ("found" if importlib.util.find_spec(module) else None)
        yield Finding(Status.OK, name, found) if found else Finding(Status.NOTE, name, "not installed", gain)


def _needs(extra: str | None) -> list[str]:
    """The packages that this one needs without extras (None), or those that an extra adds; some are looked at apart."""
    names = [match[0] for line in _declared(extra) if (match := re.match(r"[\w.-]+", line))]
    return [name for name in names if name not in _LOOKED_AT_APART]


def _declared(extra: str | None) -> list[str]:
    """As pyproject.toml tells in a checkout, whose installed metadata may be older, or as the metadata do."""
    import megatron_proxy

    file = Path(megatron_proxy.__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.is_file() else {}
    if project.get("name") == "megatron-proxy":
        return list(project["optional-dependencies"][extra] if extra else project["dependencies"])
    lines = [line.partition(";") for line in requires("megatron-proxy") or []]
    asked = extra and f'extra == "{extra}"'
    return [name for name, _, marker in lines if (asked in marker if asked else "extra" not in marker)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _torch() -> Iterator[Finding]:
    try:
        with _quiet():
            import torch

            gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
            names = sorted({torch.cuda.get_device_name(i) for i in range(gpus)})
    except ImportError as error:
        yield Finding(Status.FAIL, "torch", f"cannot be imported ({error})", extras.install(_TRAINING))
        return
    yield Finding(Status.OK, "torch", torch.__version__)
    built_for = torch.version.cuda or "none: this is a torch for CPUs"
    if gpus:
        yield Finding(Status.OK, "CUDA", f"{built_for}; {gpus} x {' / '.join(names)}")
    else:
        yield Finding(Status.NOTE, "CUDA", f"{built_for}; no GPU is seen: training runs on the CPU with gloo")


def _hooks() -> list[Finding]:
    """Megatron's version, and each place that the plugin takes hold of."""
    with _quiet():
        from ..adaptor import hooks
        from ..adaptor.checks import support

        megatron = _checked("megatron-core", hooks.megatron_version)
        if megatron.status is Status.FAIL:
            return [megatron]
        try:
            support.check_version(megatron.text)
            problems = hooks.problems()
        except UnsupportedError as error:
            problems = [error]
        if problems:
            return [megatron, *(_failure("hooks", problem) for problem in problems)]
        return [megatron, Finding(Status.OK, "hooks", f"all {len(hooks.table())} fit Megatron-Core {megatron.text}")]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch and Megatron warn of when they are imported out of the table, which says it in its own way."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _scripts(megatron_lm: Path) -> Iterator[Finding]:
    from . import patching

    try:
        for script in patching.scripts_of(megatron_lm):
            if patching.is_patched(script):
                yield Finding(Status.OK, script.name, "patched")
            else:
                yield Finding(Status.FAIL, script.name, "not patched", f"megatron-proxy patch {megatron_lm}")
    except ProxyError as error:
        yield _failure("Megatron-LM", error)


def _dataset(prefix: str) -> Iterator[Finding]:
    from ..data.dataset.opened import PreparedDataset

    try:
        dataset = PreparedDataset.open(prefix)
    except ProxyError as error:
        yield _failure(prefix, error)
        return
    prepared = dataset.manifest
    yield Finding(Status.OK, prefix, f"{prepared.documents:,} documents, {prepared.raw.units:,} bytes")
    if not prepared.compressed:
        fix = f"megatron-proxy prepare --output-prefix {prefix} --compressor zstd"
        yield Finding(Status.FAIL, prefix, "no compressed view", fix)
    for name, entry in prepared.compressed.items():
        ratio = prepared.raw.units / max(1, entry.view.units)

        def check(name: str = name, ratio: float = ratio) -> str:
            dataset.check(name)
            dataset.compressor(name)
            return f"fits the raw view; {ratio:.2f} source bytes per code"

        yield _checked(f"{prefix} {name}", check)


def _checked(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(Status.OK, subject, check())
    except ProxyError as error:
        return _failure(subject, error)


def _failure(subject: str, error: ProxyError) -> Finding:
    text = f"{error.where}: {error.what}" if error.where else error.what
    return Finding(Status.FAIL, subject, text, error.fix)
