"""The hook on Megatron's model: ``--rope-scaling-factor``, which stock scripts parse and do not hand to it.

Without it a Llama 3.2, whose long wavelengths are stretched by 32, would be trained on with the 8 of Llama 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import run


@run.hook
def with_factor(stock: Callable[..., None], current: run.Run, *args: Any, **kwargs: Any) -> None:
    """``GPTModel.__init__``, with the run's factor where a script gives none."""
    stock(*args, **{"rope_scaling_factor": current.args.rope_scaling_factor, **kwargs})
