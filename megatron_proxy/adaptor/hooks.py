"""Where the plugin takes hold of Megatron: one table, checked by name and signature before anything is changed.

Functions are replaced where Megatron looks them up when it calls them, so that it does not matter whether Megatron was
imported before. The one exception is ``build_tokenizer``, which pretraining scripts import by name: it is replaced in
``__main__`` too.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ..common import extras
from ..common.storage import maps
from ..errors import UnsupportedError
from . import cpu, failing, helpers
from .checks import scripts, support

_MARK: Final = "_megatron_proxy_hook"

Wrapper = Callable[[Any], Callable[..., Any]]
"""Makes the new function from the one that it replaces."""


class Hook(NamedTuple):
    """A function of Megatron's, the parameters that are relied on, and what to put in its place.

    ``name`` is an attribute of ``module``, or of a class in it (``Class.method``). A hook that is not ``required``
    belongs to a module that only some releases have, one with ``only_with`` is needed with that flag alone.
    """

    module: str
    name: str
    parameters: tuple[str, ...]
    wrapper: Wrapper
    required: bool = True
    only_with: str | None = None


def table() -> list[Hook]:
    """Every hook. The rooms are imported here, once Megatron's version is known to be a supported one."""
    from . import arguments, embedding, positions, resume, vocabulary
    from .data import blend_index, dataset, needs
    from .measures import reporting

    training = "megatron.training.training"
    builder = "megatron.core.datasets.blended_megatron_dataset_builder"
    build_tokenizer = (("args",), vocabulary.build_tokenizer)
    return [
        Hook("megatron.training.arguments", "add_megatron_arguments", ("parser",), arguments.with_arguments),
        Hook("megatron.training.arguments", "_print_args", ("title", "args"), vocabulary.check_first, required=False),
        Hook("megatron.core.tokenizers.utils.build_tokenizer", "build_tokenizer", *build_tokenizer),
        Hook("megatron.training.global_vars", "build_tokenizer", *build_tokenizer),
        Hook("__main__", "build_tokenizer", *build_tokenizer, required=False),
        Hook(
            builder,
            "BlendedMegatronDatasetBuilder.__init__",
            ("self", "cls", "sizes", "is_built_on_rank", "config"),
            dataset.swap_dataset,
        ),
        Hook(builder, "BlendedMegatronDatasetBuilder.build", ("self",), dataset.remember_training),
        Hook(
            "megatron.core.datasets.blended_dataset",
            "BlendedDataset._build_indices",
            ("self",),
            blend_index.on_every_node,
        ),
        Hook(training, "setup_model_and_optimizer", ("model_type", "model_provider_func"), scripts.check_roles),
        Hook(training, "get_train_valid_test_num_samples", (), needs.count_from_checkpoint),
        Hook(training, "build_pretraining_data_loader", ("dataset", "consumed_samples"), needs.load_what_is_left),
        Hook(training, "get_forward_backward_func", (), reporting.measure_views),
        Hook(training, "training_log", ("iteration", "skipped_iter", "is_first_iteration"), reporting.log_training),
        Hook(training, "evaluate", ("forward_step_func", "data_iterator", "model"), reporting.log_evaluation),
        Hook(training, "evaluate_and_print_results", ("iteration", "write_to_tensorboard"), reporting.log_validation),
        Hook(training, "print_rank_last", ("message",), reporting.extend_line),
        Hook("megatron.training.checkpointing", "check_checkpoint_args", ("checkpoint_args",), resume.compare_settings),
        Hook(
            "megatron.core.models.gpt.gpt_model",
            "GPTModel.__init__",
            ("config", "rope_scaling_factor"),
            positions.with_factor,
        ),
        *(
            Hook(
                f"megatron.core.models.{model}.{model}_model",
                "LanguageModelEmbedding",
                ("config", "vocab_size", "num_tokentypes"),
                embedding.swap_embedding,
                required=model == "gpt",
                only_with="--proxy-format-embedding",
            )
            for model in ("gpt", "hybrid", "mamba")
        ),
    ]


def install() -> None:
    """Put every hook in place; calling it again changes nothing.

    Raises
    ------
    UnsupportedError
        If this Megatron is not a supported one, or lacks something that a hook relies on.
    """
    _replace(sys, "excepthook", failing.with_messages)
    support.check_command_line(sys.argv[1:])
    cpu.install()
    maps.raise_limit()
    version = megatron_version()
    support.check_version(version)
    helpers.use_compiled_helpers()
    wanted = [hook for hook in table() if hook.only_with is None or hook.only_with in sys.argv]
    # Check all, then change all: never a Megatron that is half taken hold of.
    for hook, owner, name in [(hook, *_find(hook, version)) for hook in wanted if hook.required or _exists(hook)]:
        _replace(owner, name, hook.wrapper)


def problems() -> list[UnsupportedError]:
    """What keeps the hooks from this Megatron, changing nothing: empty if all of them fit."""
    version = megatron_version()
    found = []
    for hook in table():
        try:
            if hook.required or _exists(hook):
                _find(hook, version)
        except UnsupportedError as error:
            found.append(error)
    return found


def megatron_version() -> str:
    """The release of Megatron-Core that is imported, such as ``0.19.2``.

    Its ``__version__`` would not do: Megatron appends the commit of whatever git repository its folder lies in, which
    for an environment inside a clone is the clone's.

    Raises
    ------
    UnsupportedError
        If there is no Megatron to import.
    """
    try:
        *numbers, pre_release = importlib.import_module("megatron.core.package_info").VERSION
    except (ImportError, AttributeError) as error:
        raise UnsupportedError(
            f"Megatron-Core cannot be imported ({error}); supported: {support.SUPPORTED}",
            fix=f"{extras.install('train')}, or put a Megatron-LM checkout on PYTHONPATH",
        ) from error
    return ".".join(map(str, numbers)) + pre_release


def _exists(hook: Hook) -> bool:
    """Whether this Megatron, or this script, has the name, and it is Megatron's own."""
    try:
        found = getattr(importlib.import_module(hook.module), hook.name, None)
    except ImportError:
        return False
    return str(getattr(found, "__module__", "")).startswith("megatron.")


def _find(hook: Hook, version: str) -> tuple[Any, str]:
    """The object and attribute that a hook replaces, after checking its parameters."""
    where = f"{hook.module}.{hook.name}"
    try:
        owner: Any = importlib.import_module(hook.module)
        *path, name = hook.name.split(".")
        for part in path:
            owner = getattr(owner, part)
        parameters = inspect.signature(getattr(owner, name)).parameters
    except (ImportError, AttributeError) as error:
        raise UnsupportedError(
            f"Megatron-Core {version} lacks what proxy compression takes hold of ({error}); supported: "
            f"{support.SUPPORTED}",
            where=where,
        ) from error
    if missing := [parameter for parameter in hook.parameters if parameter not in parameters]:
        raise UnsupportedError(
            f"in Megatron-Core {version} it has no parameter {', '.join(missing)}; supported: {support.SUPPORTED}",
            where=where,
        )
    return owner, name


def _replace(owner: Any, name: str, wrapper: Wrapper) -> None:
    original = getattr(owner, name)
    if hasattr(original, _MARK):
        return
    replacement = wrapper(original)
    if not inspect.isclass(replacement):
        functools.update_wrapper(replacement, original)
    setattr(replacement, _MARK, True)
    setattr(owner, name, replacement)
