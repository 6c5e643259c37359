"""Errors for users: what is wrong, where, and what to do about it."""

from __future__ import annotations

from functools import partial


class ProxyError(ValueError):
    """A mistake in the input or the configuration that the user can mend.

    Parameters
    ----------
    what
        What is wrong, with the offending value shown.
    where
        The place: ``file:line``, a flag, a path.
    fix
        What to do: a flag to change, a command to run.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        message = f"{self.where}: {self.what}" if self.where else self.what
        return f"{message}\n  what to do: {self.fix}" if self.fix else message

    def __reduce__(self) -> tuple[object, ...]:
        # Workers send their errors to the parent: keyword arguments need help to be pickled.
        return partial(type(self), where=self.where, fix=self.fix), (self.what,)


class CorpusError(ProxyError):
    """A corpus file that cannot be read as documents; ``where`` is ``file:line``."""


class CompressorError(ProxyError):
    """An unknown compressor, an option it does not take, or symbols it cannot decode."""


class DatasetError(ProxyError):
    """A prepared dataset (views, manifest, cache) that is missing, damaged or of another kind."""


class ConfigurationError(ProxyError):
    """A flag, or a combination of flags, that cannot work; ``where`` is the flag."""


class UnsupportedError(ProxyError):
    """Something of Megatron's that the plugin does not support (yet), by name."""


class CheckpointError(ProxyError):
    """A checkpoint that is missing, half-written, or of a model that cannot be used on raw bytes here."""


def check_count(value: int | None, flag: str, least: int = 1) -> None:
    """Refuse a count that is too small, if there is one, by a ConfigurationError that names the flag."""
    if value is not None and value < least:
        raise ConfigurationError(f"must be at least {least}, not {value}", where=flag)
