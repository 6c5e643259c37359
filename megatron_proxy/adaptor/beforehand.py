"""Making the plans of a training command before it is run, in one process and without a GPU.

The training script itself is run, as ``__main__`` and with its flags, up to where it would call Megatron's
``pretrain``. In place of that its datasets are built, for as many ranks as the training will have, and nothing else.
"""

from __future__ import annotations

import inspect
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from . import FLAG, cpu, hooks, resume, wanted


def plan(script: str, argv: Sequence[str], world_size: int) -> None:
    """Make the plans of ``script`` with the flags ``argv``, where training by so many ranks will look for them.

    Raises
    ------
    ProxyError
        As the training itself would.
    """
    if not os.path.isfile(script):
        raise ConfigurationError(f"there is no script {script!r}", where="SCRIPT", fix="give a pretraining script")
    if not wanted(argv):
        raise ConfigurationError(f"the command has no {FLAG}, so there is nothing to plan", where=FLAG)
    os.environ.update({"WORLD_SIZE": str(world_size), "RANK": "0", "LOCAL_RANK": "0"})
    sys.argv = [script, *argv]
    # As `python SCRIPT` does: a checkout's own megatron/ must win over an installed one.
    sys.path.insert(0, str(Path(script).resolve().parent))
    cpu.install(asked=True)
    hooks.install()
    _replace_training()
    try:
        runpy.run_path(script, run_name="__main__")
    except _Planned:
        return
    raise ConfigurationError(
        "the script ended without calling Megatron's pretrain", where=script, fix="give a pretraining script"
    )


class _Planned(BaseException):
    """Leaves the script, whose own handlers of exceptions must not see it."""


def _replace_training() -> None:
    import megatron.training
    from megatron.training import global_vars, training

    build = _building(training.pretrain)
    for module in (megatron.training, training):
        module.pretrain = build
    # Planning is no run for anybody's charts.
    for name in ("_set_tensorboard_writer", "_set_wandb_writer", "_set_one_logger"):
        if hasattr(global_vars, name):
            setattr(global_vars, name, lambda args: None)


def _building(pretrain: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(pretrain)

    def build(*args: Any, **kwargs: Any) -> None:
        from megatron.training import arguments, global_vars, initialize, training

        given = signature.bind_partial(*args, **kwargs).arguments
        if not hasattr(arguments, "parse_and_validate_args"):
            # Up to 0.17 it is pretrain that parses.
            words = {name: given[name] for name in ("extra_args_provider", "args_defaults") if name in given}
            initialize.initialize_megatron(allow_no_cuda=True, skip_mpu_initialization=True, **words)
        # Megatron does both while it makes the model, which is not made here.
        resume.go_on(global_vars.get_args())
        training.update_train_iters(global_vars.get_args())
        training.build_train_valid_test_datasets(given["train_valid_test_dataset_provider"])
        raise _Planned

    return build
