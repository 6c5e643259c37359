"""Scripts of another release than the Megatron that they run on."""

import enum

import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

from megatron_proxy.adaptor import hooks
from megatron_proxy.adaptor.checks import scripts
from megatron_proxy.errors import UnsupportedError


class ModelType(enum.Enum):
    """Like Megatron's."""

    encoder_or_decoder = 1


def provider():
    """Like a script's model_provider."""


def new(model_type, model_provider_func=None, checkpointing_context=None, *, cfg_container=None):
    return model_type, model_provider_func


def old(model_provider_func, model_type, checkpointing_context=None):
    return model_type, model_provider_func


def test_a_script_of_this_release():
    kind = ModelType.encoder_or_decoder
    assert scripts.check_roles(new)(kind, model_provider_func=provider) == (kind, provider)
    assert scripts.check_roles(new)(kind) == (kind, None)
    assert scripts.check_roles(old)(provider, kind, checkpointing_context={}) == (kind, provider)


@pytest.mark.parametrize("setup", [new, old])
def test_a_script_that_mixes_up_the_arguments(setup):
    with pytest.raises(UnsupportedError) as error:
        scripts.check_roles(setup)(model_type=provider, model_provider_func=provider)
    assert error.value.what.startswith("the script calls pretrain() as another release than Megatron-Core 0.")
    with pytest.raises(UnsupportedError, match=r"use the pretraining script of this release"):
        scripts.check_roles(setup)(model_type=ModelType.encoder_or_decoder, model_provider_func=ModelType(1))


def raised_by(code):
    try:
        exec(code)
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import megatron.no_such_part", True),
        ("from megatron.training import no_such_name", True),
        ("import no_such_package", False),
        ("import torch.no_such_part", False),
        ("(pretrain := lambda a: a).__name__ = pretrain.__qualname__ = 'pretrain'; pretrain(b=1)", True),
        ("int(b=1)", False),
        ("{}['a']", False),
    ],
)
def test_what_is_added_to_a_traceback(code, told):
    line = scripts.hint(raised_by(code))
    expected = f"the script seems to be of another release than Megatron-Core {hooks.megatron_version()}\n"
    assert (line or "").startswith(expected) == told
    assert (line is None) != told
