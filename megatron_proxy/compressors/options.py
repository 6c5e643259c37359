"""A compressor's settings, said once: a dataclass gives its flags, their checks, its configuration and the way back.

    @dataclass(frozen=True)
    class GzipOptions(Options):
        level: Annotated[int, Setting("compression level, 1 to 9", 1, 9, stored=True)] = 9
        probe: Annotated[str, MADE] = ""

A field with a help text is an option that a user may give: ``segment_bytes`` of zstd is ``--zstd-segment-bytes``. One
that is ``stored`` is an entry of the configuration, under its own name. What is made when the compressor is built is
stored only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from inspect import get_annotations
from types import UnionType
from typing import Any, Final, Self, get_args, get_origin, get_type_hints

from ..errors import CompressorError
from .base import Option


@dataclass(frozen=True)
class Setting:
    """What is told of a field, and which values it may have.

    Parameters
    ----------
    help
        What users are told; empty for what they cannot give.
    low, high
        The least and the most that a number may be.
    choices
        The values that there are, if they can be listed.
    stored
        Whether codes depend on it after the compressor was built, so that it is in the configuration.
    """

    help: str = ""
    low: float = 0
    high: float = 0
    choices: Sequence[Any] | None = None
    stored: bool = False

    def checked(self, value: Any, option: Option, where: str | None = None) -> Any:
        """The value of ``option``; None where that is its default.

        Raises
        ------
        CompressorError
            If it cannot be one, with those that are possible.
        """
        if value is None is option.default:
            return None
        if self.choices is not None:
            if not isinstance(value, option.type) or value not in self.choices:
                raise CompressorError(f"{value!r} is none of {', '.join(map(str, self.choices))}", where=where)
        elif option.type is int:
            check_whole(value, int(self.low), int(self.high), where)
        elif option.type is float:
            if not isinstance(value, int | float) or not self.low <= value <= self.high:
                raise CompressorError(f"{value!r} is not a number from {self.low:g} to {self.high:g}", where=where)
            return float(value)
        elif not isinstance(value, option.type):
            raise CompressorError(f"{value!r} is not of the type {option.type.__name__}", where=where)
        return value


def check_whole(value: Any, low: int, high: int, where: str | None) -> None:
    """Refuse, with a CompressorError, what is no whole number from ``low`` to ``high``."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CompressorError(f"{value!r} is not a whole number from {low} to {high}", where=where)


MADE: Final = Setting(stored=True)
"""What is not given, but made when a compressor is built."""


@dataclass(frozen=True)
class Options:
    """The settings of a compressor; a subclass is a frozen dataclass whose fields are ``Annotated[type, Setting]``."""

    @classmethod
    def flags(cls) -> tuple[Option, ...]:
        """What the command line offers: :attr:`.base.Compressor.options`. A class's own come before its base's."""
        return tuple(option for _, option, setting in _fields(cls) if setting.help)

    @classmethod
    def given(cls, options: Mapping[str, Any], compressor: str) -> Self:
        """The settings that :meth:`.base.Compressor.build` got.

        Raises
        ------
        CompressorError
            Naming the flag whose value is not possible.
        """
        found = {}
        for name, option, setting in _fields(cls):
            if setting.help:
                found[name] = setting.checked(options.get(option.name), option, f"--{compressor}-{option.name}")
        return cls(**found)

    @classmethod
    def restored(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`stored`; what is not stored has its default.

        Raises
        ------
        CompressorError
            Naming the entry of the configuration that is missing or not possible.
        """
        found = {}
        for name, option, setting in _fields(cls):
            if setting.stored:
                try:
                    found[name] = setting.checked(config.get(name), option)
                except CompressorError as error:
                    what = f"the compressor's configuration has no usable {name!r}: {error.what}"
                    raise CompressorError(what) from error
        return cls(**found)

    def stored(self) -> dict[str, Any]:
        """The entries of the compressor's configuration."""
        return {name: getattr(self, name) for name, _, setting in _fields(type(self)) if setting.stored}


def _fields(kind: type[Options]) -> Iterator[tuple[str, Option, Setting]]:
    """The fields of a class, its own before those of its base."""
    hints = get_type_hints(kind, include_extras=True)
    for name in dict.fromkeys(name for base in kind.__mro__ for name in get_annotations(base)):
        type_, setting = get_args(hints[name])
        if isinstance(type_, UnionType):  # with None, which is the default then
            type_ = get_args(type_)[0]
        default = getattr(kind, name, MISSING)
        option = Option(name.replace("_", "-"), get_origin(type_) or type_, default, setting.help, setting.choices)
        yield name, option, setting
