"""Masks and document borders: written-out values, and Megatron's own on the same ids."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy.data.sampling import masks

EOS, PAD = 2, 0


def ids(*values):
    return np.array(values, dtype=np.int64)


def test_positions_begin_again_after_eos():
    assert masks.position_ids(ids(2, 70, 71, 2, 72, 2)).tolist() == [0, 0, 1, 2, 0, 1]
    assert masks.position_ids(ids(70, 71, 72)).tolist() == [0, 1, 2]
    assert masks.position_ids(ids(2, 2, 70)).tolist() == [0, 0, 0]


def test_attention_stays_inside_a_document():
    hidden = masks.attention_mask(ids(70, 2, 71, 72))
    assert hidden.shape == (1, 4, 4)
    assert (~hidden[0]).astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def test_pads_do_not_count_nor_what_follows_eos():
    tokens, labels = ids(70, 2, 71, 2, 0), ids(2, 71, 2, 0, 0)
    assert masks.loss_mask(tokens, labels, mask_eos=False).tolist() == [1, 1, 1, 0, 0]
    assert masks.loss_mask(tokens, labels, mask_eos=True).tolist() == [1, 0, 1, 0, 0]
    assert masks.loss_mask(tokens, labels, mask_eos=True).dtype == np.float32


@pytest.mark.parametrize(
    ("tokens", "borders", "longest"),
    [
        (ids(70, 71, 2, 72), [0, 3, 4, 4, 4], 3),
        (ids(2, 70, 71, 2), [0, 1, 4, 4, 4], 3),
        (ids(70, 71, 72, 73), [0, 4, 4, 4, 4], 4),
        (ids(2, 2, 2, 2), [0, 1, 2, 3, 4], 1),
        # Pads belong to the last document.
        (ids(70, 2, 0, 0), [0, 4, 4, 4, 4], 4),
        (ids(2, 70, 0, 0), [0, 1, 4, 4, 4], 3),
        (ids(0, 0, 0, 0), [0, 4, 4, 4, 4], 4),
    ],
)
def test_document_borders(tokens, borders, longest):
    found, size = masks.cumulative_lengths(tokens)
    assert found.tolist() == borders
    assert found.dtype == np.int32
    assert size == longest
    assert size.dtype == np.int32


# --- against Megatron ---

windows = st.lists(st.sampled_from([EOS, 12, 70, 71]), min_size=2, max_size=30).map(lambda values: ids(*values))


@settings(deadline=None)
@given(windows, st.booleans(), st.booleans(), st.booleans())
def test_masks_are_stocks(window, reset_positions, reset_attention, mask_eos):
    from megatron.core.datasets.gpt_dataset import _get_ltor_masks_and_position_ids

    tokens, labels = window[:-1], window[1:]
    attention, loss, positions = _get_ltor_masks_and_position_ids(
        torch.from_numpy(tokens), EOS, reset_positions, reset_attention, mask_eos, True
    )
    assert masks.loss_mask(tokens, labels, mask_eos=mask_eos).tolist() == loss.tolist()
    if reset_positions:
        assert masks.position_ids(tokens).tolist() == positions.tolist()
    if reset_attention:
        assert masks.attention_mask(tokens).tolist() == attention.tolist()


class Documents:
    """What GPTDataset needs of an IndexedDataset: documents that end with eos."""

    def __init__(self, stream):
        ends = np.flatnonzero(stream == EOS) + 1
        self.documents = np.split(stream, ends[:-1])
        self.sequence_lengths = np.array([len(document) for document in self.documents], dtype=np.int32)
        self.path_prefix = "memory"

    def get(self, idx, offset=0, length=None):
        return self.documents[idx][offset : None if length is None else offset + length]


def stock_samples(documents, size):
    """Stock GPTDataset's samples over the documents in their order."""
    from megatron.core.datasets.gpt_dataset import GPTDataset

    dataset = object.__new__(GPTDataset)
    dataset.dataset = documents
    dataset._pad_token_id = PAD
    dataset.config = SimpleNamespace(
        sequence_length=size,
        add_extra_token_to_sequence=1,
        tokenizer=SimpleNamespace(eod=EOS),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
        inter_document_masking=True,
    )
    dataset.masks_and_position_ids_are_cacheable = False
    dataset.masks_and_position_ids_are_cached = False
    lengths = documents.sequence_lengths
    dataset.document_index = np.arange(len(lengths), dtype=np.int32)
    begins = np.cumsum(lengths) - lengths
    cuts = np.arange(0, lengths.sum() - 1, size)
    which = np.searchsorted(begins, cuts, side="right") - 1
    dataset.sample_index = np.stack([which, cuts - begins[which]], axis=1)
    dataset.shuffle_index = np.arange(len(cuts) - 1)
    return [dataset[sample] for sample in range(len(cuts) - 1)]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([EOS, 12, 70, 71]), min_size=12, max_size=60), st.integers(4, 10))
def test_document_borders_are_stocks(values, size):
    from megatron.core.datasets import gpt_dataset

    if not hasattr(gpt_dataset.GPTDatasetConfig, "inter_document_masking"):
        pytest.skip("this release has no inter-document masking")
    for sample in stock_samples(Documents(ids(*values, EOS)), size):
        tokens = sample["tokens"].numpy()
        borders, longest = masks.cumulative_lengths(tokens)
        assert borders.tolist() == sample["cu_seqlens"].tolist()
        assert longest == sample["max_seqlen"]
        assert masks.position_ids(tokens).tolist() == sample["position_ids"].tolist()
        assert (
            masks.loss_mask(tokens, sample["labels"].numpy(), mask_eos=False).tolist() == sample["loss_mask"].tolist()
        )
