"""What a training log tells about the model, beside its iterations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

BEGIN: Final = "-- arguments --"
_END: Final = "-- end of arguments --"
_ARGUMENT: Final = re.compile(r"(?:^|\s)([A-Za-z_]\w*) \.+ (.*)$")
_PADDED: Final = re.compile(r"padded vocab \(size: (\d+)\) with \d+ dummy tokens \(new size: (\d+)\)")
_VERSIONS: Final = re.compile(r"megatron_proxy: versions: (.+)$")
_PARAMETERS: Final = re.compile(r"number of parameters on \([^)]*\) model parallel rank \(([\d, ]+)\): (\d+)")


@dataclass
class RunSettings:
    """Megatron's arguments and what it says about the model.

    Parameters
    ----------
    arguments
        The block that Megatron prints at the start, as text.
    vocabulary, padded_vocabulary
        Ids, and rows of the embedding after padding; None if the log has no such line.
    parameters_of
        Parameters by model-parallel rank.
    versions
        The packages that were trained with, as the plugin prints them.
    """

    arguments: dict[str, str] = field(default_factory=dict)
    vocabulary: int | None = None
    padded_vocabulary: int | None = None
    parameters_of: dict[str, int] = field(default_factory=dict)
    versions: str | None = None

    def text(self, name: str) -> str | None:
        """An argument; None if it is not logged, or is None."""
        value = self.arguments.get(name)
        return None if value in (None, "None") else value

    def number(self, name: str) -> int | None:
        """An argument that is a whole number; None as for :meth:`text`, or if it is none."""
        value = self.text(name)
        return int(value) if value is not None and re.fullmatch(r"\d+", value) else None

    def flag(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.arguments.get(name) == "True"

    @property
    def parameters(self) -> int | None:
        """Parameters of the whole model: the sum over model-parallel ranks.

        With tensor parallelism that counts the weights of the norms, which every rank holds, several times.
        """
        return sum(self.parameters_of.values()) or None

    @property
    def embedding_parameters(self) -> int | None:
        """Parameters of the embedding and of the output layer."""
        hidden = self.number("hidden_size")
        if hidden is None or self.padded_vocabulary is None:
            return None
        return self.padded_vocabulary * hidden * (2 if self.flag("untie_embeddings_and_output_weights") else 1)


def parse(lines: Iterable[str]) -> RunSettings:
    """Read a log; of a run that was resumed into the same log, the last start counts."""
    settings = RunSettings()
    inside = False
    for line in lines:
        if BEGIN in line or _END in line:
            inside = BEGIN in line
            if inside:
                # The versions may be printed before the arguments.
                settings = RunSettings(versions=settings.versions)
        elif inside:
            if match := _ARGUMENT.search(line):
                settings.arguments[match[1]] = match[2].strip()
        elif match := _PADDED.search(line):
            settings.vocabulary, settings.padded_vocabulary = int(match[1]), int(match[2])
        elif match := _VERSIONS.search(line):
            settings.versions = match[1].strip()
        elif match := _PARAMETERS.search(line):
            settings.parameters_of[match[1]] = int(match[2])
    if settings.padded_vocabulary is None:
        settings.padded_vocabulary = settings.number("padded_vocab_size")
    return settings
