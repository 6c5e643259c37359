"""The checks of the first step, and the padded vocabulary."""

import argparse

import pytest

torch = pytest.importorskip("torch")
training = pytest.importorskip("megatron.training", reason="megatron-core is not installed")

from megatron.core import mpu  # noqa: E402

from megatron_proxy import vocab  # noqa: E402
from megatron_proxy.adaptor import run, vocabulary  # noqa: E402
from megatron_proxy.adaptor.arguments import Settings  # noqa: E402
from megatron_proxy.adaptor.checks import swapped  # noqa: E402
from megatron_proxy.adaptor.tokenizer import ProxyTokenizer  # noqa: E402
from megatron_proxy.data.sampling.schedule import Schedule  # noqa: E402
from megatron_proxy.errors import ConfigurationError, UnsupportedError  # noqa: E402

TOKENIZER = ProxyTokenizer("trie", vocab.Vocabulary(100), ["ab"])


class FormatEmbedding(torch.nn.Module):
    """Known by its name: Megatron's class is not the same in all releases."""


def current(embedding=False, datasets_swapped=True):
    settings = Settings("trie", Schedule(), 100, format_embedding=embedding)
    return run.Run(argparse.Namespace(), settings, [], TOKENIZER, None, datasets_swapped=datasets_swapped)


@pytest.fixture(autouse=True)
def megatron(monkeypatch):
    monkeypatch.setattr(training, "get_tokenizer", lambda: TOKENIZER)
    monkeypatch.setattr(mpu, "is_pipeline_first_stage", lambda **_: True)


def test_all_swapped():
    found = current(embedding=True)
    swapped.check_once(found, [torch.nn.Sequential(FormatEmbedding())])
    assert found.checked
    # Later steps cost nothing.
    swapped.check_once(found, None)


def test_a_tokenizer_of_the_scripts_own_is_found_out(monkeypatch):
    monkeypatch.setattr(training, "get_tokenizer", object)
    with pytest.raises(UnsupportedError, match="tokenizer was not swapped: it does not use Megatron's build_tokenizer"):
        swapped.check_once(current(), [])


def test_a_dataset_of_the_scripts_own_is_found_out():
    with pytest.raises(UnsupportedError, match="dataset was not swapped"):
        swapped.check_once(current(datasets_swapped=False), [])


def test_a_model_of_the_scripts_own_is_found_out_where_it_has_embeddings(monkeypatch):
    with pytest.raises(UnsupportedError, match="embedding was not swapped"):
        swapped.check_once(current(embedding=True), torch.nn.Linear(1, 1))
    monkeypatch.setattr(mpu, "is_pipeline_first_stage", lambda **_: False)
    swapped.check_once(current(embedding=True), torch.nn.Linear(1, 1))


@pytest.mark.parametrize(("last", "measured"), [(True, True), (False, False)])
def test_a_step_that_was_measured_where_there_are_losses(monkeypatch, last, measured):
    monkeypatch.setattr(mpu, "is_pipeline_last_stage", lambda **_: last)
    swapped.check_measured(argparse.Namespace(measured=measured))


def test_a_script_that_gives_its_model_no_labels_is_found_out(monkeypatch):
    monkeypatch.setattr(mpu, "is_pipeline_last_stage", lambda **_: True)
    with pytest.raises(UnsupportedError, match="this script gives its model no labels"):
        swapped.check_measured(argparse.Namespace(measured=False))


def args_for_padding(**values):
    return argparse.Namespace(make_vocab_size_divisible_by=128, tensor_model_parallel_size=2, rank=1, **values)


def test_the_vocabulary_is_padded_as_megatron_pads():
    args = args_for_padding(padded_vocab_size=None)
    vocabulary.set_padded_vocab_size(args, 420)
    assert args.padded_vocab_size == 512
    kept = args_for_padding(padded_vocab_size=1024)
    vocabulary.set_padded_vocab_size(kept, 420)
    assert kept.padded_vocab_size == 1024
    unpadded = args_for_padding(padded_vocab_size=None, pad_vocab_size=False)
    vocabulary.set_padded_vocab_size(unpadded, 420)
    assert unpadded.padded_vocab_size is None


def test_a_checkpoint_with_too_few_ids_is_refused():
    with pytest.raises(ConfigurationError, match="the model has 384 ids, the prepared views need 420"):
        vocabulary.set_padded_vocab_size(args_for_padding(padded_vocab_size=384), 420)


def test_without_the_flag_the_tokenizer_is_stock():
    build = vocabulary.build_tokenizer(lambda args, **kwargs: ("stock", kwargs))
    assert build(argparse.Namespace(proxy_compression=None), a=1) == ("stock", {"a": 1})
    assert build(argparse.Namespace()) == ("stock", {})
