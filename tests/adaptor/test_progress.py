"""Bytes seen of a blend: each dataset's share of the samples, found without going through all of them."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from megatron_proxy.adaptor.measures import bytes_seen

WEIGHTS = (0.55, 0.3, 0.1, 0.05)


class Recorded:
    """An array that counts what is read of it."""

    def __init__(self, values):
        self.values = np.array(values)
        self.read = 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        found = self.values[key]
        self.read += found.size
        return found


def blend_of(index, datasets=4):
    """A blend that takes its samples from these datasets, in this order."""
    numbers = np.zeros(len(index), np.int64)
    for number in range(datasets):
        numbers[index == number] = np.arange((index == number).sum())
    plans = [SimpleNamespace(source_bytes_after=lambda samples, n=n: (samples, 10**n)) for n in range(datasets)]
    return SimpleNamespace(
        dataset_index=Recorded(index.astype(np.int16)),
        dataset_sample_index=Recorded(numbers),
        datasets=[SimpleNamespace(plan=plan) for plan in plans],
    )


@pytest.fixture
def index():
    return np.random.default_rng(3).choice(len(WEIGHTS), 200_000, p=WEIGHTS)


def test_a_resumed_run_reads_the_end_only(index, monkeypatch):
    monkeypatch.setattr(bytes_seen, "_STRETCH", 100)
    blend = blend_of(index)
    seen = bytes_seen.BytesSeen(blend)
    assert seen._count(150_000).tolist() == np.bincount(index[:150_000], minlength=4).tolist()
    assert blend.dataset_index.read <= 1000
    assert blend.dataset_sample_index.read == 4


def test_the_next_step_reads_its_own_samples(index):
    blend = blend_of(index)
    seen = bytes_seen.BytesSeen(blend)
    seen._count(150_000)
    blend.dataset_index.read = 0
    assert seen._count(150_032).tolist() == np.bincount(index[:150_032], minlength=4).tolist()
    assert blend.dataset_index.read == 32


def test_any_order_of_questions(index, monkeypatch):
    monkeypatch.setattr(bytes_seen, "_STRETCH", 7)
    seen = bytes_seen.BytesSeen(blend_of(index[:500]))
    for samples in (0, 3, 100, 99, 500, 20, 600):
        assert seen._count(samples).tolist() == np.bincount(index[:500][:samples], minlength=4).tolist()


def test_a_dataset_that_is_never_taken(monkeypatch):
    monkeypatch.setattr(bytes_seen, "_STRETCH", 2)
    seen = bytes_seen.BytesSeen(blend_of(np.array([0, 0, 2, 0])))
    assert seen._count(4).tolist() == [3, 0, 1, 0]
    assert seen.after(4) == (4, 10**0 + 10**1 + 10**2 + 10**3)
