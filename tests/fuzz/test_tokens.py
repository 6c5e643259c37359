"""``.bin`` and ``.idx`` files that nobody meant as a tokenized corpus: documents, or an error with its place."""

from contextlib import suppress

import pytest
from fuzzing import damaged, inputs
from hypothesis import given
from hypothesis import strategies as st
from token_files import byte_level, write_tokens

from megatron_proxy.data.corpus import chunks, read_chunk
from megatron_proxy.data.tokens import open_tokens
from megatron_proxy.errors import CorpusError

TEXTS = ["one document", "", "é🦜 and another", *(f"row {number}\n" * number for number in range(20))]
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)), max_size=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a tokenizer, and the content of both files of its ids."""
    folder = tmp_path_factory.mktemp("tokens")
    tokenizer = byte_level(folder / "tokenizer.json", TEXTS)
    write_tokens(folder / "ids", [[[*tokenizer.encode(text).ids, 0]] if text else [] for text in TEXTS])
    return folder, (folder / "ids.bin").read_bytes(), (folder / "ids.idx").read_bytes()


@pytest.mark.long
@inputs(100)
@given(
    edits=st.tuples(edits, edits), keep=st.sampled_from([1.0, 1.0, 0.9, 0.5, 0.0]), drop=st.booleans(),
    eod=st.none() | st.integers(-1, 70000), size=st.integers(1, 500),
)  # fmt: skip
def test_any_files_are_read_or_refused(files, tried, edits, keep, drop, eod, size):
    tried("tokenized corpora")
    folder, ids, index = files
    ids, index = damaged(ids, edits[0]), damaged(index, edits[1])
    (folder / "ids.bin").write_bytes(ids[: int(keep * len(ids))])
    (folder / "ids.idx").write_bytes(index[: int(keep * len(index))])
    with suppress(CorpusError):
        corpus, _ = open_tokens([str(folder / "ids")], str(folder), {}, eod=eod, drop=drop)
        found = [read_chunk(chunk, ["text"]).documents[0] for chunk in chunks(corpus.sources, size=size)]
        assert all(isinstance(document, bytes) for documents in found for document in documents)
