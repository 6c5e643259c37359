"""The same sample ids, byte for byte, for every data-parallel size, worker count, resume and cache.

Megatron's own sampler and torch's data loader read the dataset, as in a run; what each global batch holds is compared.
"""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import megatron_args  # noqa: E402
import tiny_data  # noqa: E402
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder  # noqa: E402
from megatron.core.datasets.gpt_dataset import GPTDataset  # noqa: E402
from megatron.training import global_vars  # noqa: E402
from megatron.training.datasets.data_samplers import MegatronPretrainingSampler  # noqa: E402

from megatron_proxy.adaptor.data import dataset  # noqa: E402

SAMPLES, BATCH, MICRO = 48, 8, 2


class Builder(BlendedMegatronDatasetBuilder):
    __init__ = dataset.swap_dataset(BlendedMegatronDatasetBuilder.__init__)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    texts = tiny_data.documents(60)
    tiny_data.prepare(folder / "a", texts)
    tiny_data.prepare(folder / "b", tiny_data.documents(30, seed=2), trained_on=texts)
    return folder


@pytest.fixture(params=["{0}/a", "0.7 {0}/a 0.3 {0}/b"], ids=["one", "blend"])
def build(request, data, monkeypatch):
    """Builds the training dataset, with a cache folder of its own each time unless one is given."""
    monkeypatch.setenv("RANK", "0")

    def build_training(cache, *flags):
        args = megatron_args.parse(f"--data-path {request.param.format(data)} --split 1,0,0", *flags)
        monkeypatch.setattr(global_vars, "_GLOBAL_ARGS", args)
        config = megatron_args.dataset_config(args, path_to_cache=str(cache), create_attention_mask=False)
        return Builder(GPTDataset, [SAMPLES, 0, 0], lambda: True, config).build()[0]

    return build_training


def read(samples, ranks, consumed=0, workers=0):
    """The ids of each global batch after ``consumed`` samples, in the order of micro-batches and ranks."""
    loaders = [
        iter(
            torch.utils.data.DataLoader(
                samples,
                batch_sampler=MegatronPretrainingSampler(SAMPLES, consumed, MICRO, rank, ranks),
                num_workers=workers,
            )
        )
        for rank in range(ranks)
    ]
    micro_batches = BATCH // MICRO // ranks
    batches = []
    while True:
        taken = [list(itertools.islice(loader, micro_batches)) for loader in loaders]
        if len(taken[-1]) < micro_batches:
            return batches
        parts = [one[step] for step in range(micro_batches) for one in taken]
        batches.append(np.concatenate([np.column_stack([part["tokens"], part["labels"]]) for part in parts]))


@pytest.fixture
def expected(build, tmp_path):
    """Batches of one rank, without workers, from a fresh cache."""
    return read(build(tmp_path / "cache"), 1)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.tobytes() == other.tobytes()


def test_batches_are_not_all_alike(expected):
    assert len(expected) == SAMPLES // BATCH
    assert len({batch.tobytes() for batch in expected}) == len(expected)


@pytest.mark.long
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_any_data_parallel_size(build, expected, tmp_path, ranks):
    assert_same(read(build(tmp_path / "cache"), ranks), expected)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers(build, expected, tmp_path, workers):
    assert_same(read(build(tmp_path / "cache"), 1, workers=workers), expected)


@pytest.mark.long
def test_resuming_after_every_step_with_any_data_parallel_size(build, expected, tmp_path):
    samples = build(tmp_path / "cache")
    for step in range(len(expected)):
        for ranks in (1, 2, 4):
            assert_same(read(samples, ranks, consumed=step * BATCH), expected[step:])


@pytest.mark.long
def test_any_cache(build, expected, tmp_path):
    assert_same(read(build(tmp_path / "another"), 1), expected)
    # The cache of this very run, and one that holds a run with another seed too.
    other = read(build(tmp_path / "cache", "--seed 2"), 1)
    assert_same(read(build(tmp_path / "cache"), 1), expected)
    assert other[0].tobytes() != expected[0].tobytes()
