"""Scripts of one release of Megatron on the code of another: they import what is not there, or mix up the arguments.

Megatron's ``pretrain`` takes the same things in another order from release to release, so the mistake shows itself
late, as a traceback about something else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from ...errors import UnsupportedError

_FIX: Final = (
    "use the pretraining script of this release, from its Megatron-LM checkout; `megatron-proxy patch` adds ours"
)


def check_roles(setup_model_and_optimizer: Callable[..., Any]) -> Callable[..., Any]:
    """Megatron's maker of the model, unless the script has given it one thing for another."""
    signature = inspect.signature(setup_model_and_optimizer)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        provider = given.get("model_provider_func")
        if callable(given["model_type"]) or (provider is not None and not callable(provider)):
            raise UnsupportedError(f"the script calls pretrain() as another release than {_version()} does", fix=_FIX)
        return setup_model_and_optimizer(*args, **kwargs)

    return wrapped


def hint(error: BaseException) -> str | None:
    """What to add to an uncaught error that a script of another release is likely to have brought about."""
    missing = isinstance(error, ImportError) and str(error.name).startswith("megatron.")
    if not (missing or (isinstance(error, TypeError) and str(error).startswith("pretrain() "))):
        return None
    return f"the script seems to be of another release than {_version()}\n  what to do: {_FIX}"


def _version() -> str:
    from ..hooks import megatron_version

    return f"Megatron-Core {megatron_version()}"
