"""Source bytes of each id: the table adds up to the corpus, with and without literals."""

import numpy as np
import pytest
import tiny_data

from megatron_proxy.data.dataset import manifest
from megatron_proxy import vocab
from megatron_proxy.adaptor.data import prepared
from megatron_proxy.data.dataset.reader import ViewReader, compressed_path

TEXTS = [b"def f(x):\n    return x\n" * 20, b"\xff\x00 odd bytes \xfe", b"", b"def g(y):\n    return y + 1\n" * 9]


@pytest.mark.parametrize("name", ["zstd", "gzip", "trie"])
def test_the_table_adds_up_to_the_raw_bytes(tmp_path, name):
    tiny_data.prepare(tmp_path / "tiny", TEXTS, name)
    opened = prepared.open_all([str(tmp_path / "tiny")], name)
    table = prepared.source_bytes(opened, name)
    view = ViewReader(compressed_path(tmp_path / "tiny", name))
    codes = np.concatenate([view.get(document) for document in range(len(TEXTS))]).astype(np.int64)
    ids = codes + opened[0].compressed.vocabulary.code_offset
    assert table[ids].sum() == pytest.approx(sum(map(len, TEXTS)))
    assert table[: vocab.BYTE_OFFSET].sum() == 0
    assert set(table[vocab.BYTE_OFFSET : vocab.SYMBOL_OFFSET]) == {1.0}


def test_literal_bytes_are_counted_when_a_view_is_written(tmp_path):
    made = tiny_data.prepare(tmp_path / "tiny", TEXTS, "zstd")
    entry = made.compressed["zstd"]
    assert entry.literals
    assert 0 < entry.literal_bytes < entry.view.units
    assert manifest.read(tmp_path / "tiny") == made
