"""Files of lines that nobody meant as a corpus: documents, or an error that names the line."""

import bz2
import gzip
import json
import lzma
from contextlib import suppress

import pytest
import zstandard
from fuzzing import damaged, inputs
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.data.corpus import chunks, documents, expand, read_chunk
from megatron_proxy.data.corpus.chunk import LineNumbers
from megatron_proxy.data.corpus.kinds import HEAD_BYTES, kind_of
from megatron_proxy.errors import CorpusError

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
records = st.fixed_dictionaries({"text": st.text(max_size=12) | anything}, optional={"other": anything})
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.binary(max_size=4)), max_size=3)
lines = st.one_of(
    st.binary(max_size=30),
    records.map(json.dumps).map(str.encode),
    records.map(lambda record: json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.tuples(records.map(json.dumps).map(str.encode), edits).map(lambda pair: damaged(*pair)),
    st.integers(1, 3000).map(lambda depth: b'{"text":' * depth),
    st.integers(1, 3000).map(lambda depth: b'{"x":' + b"[" * depth + b"]" * depth + b',"text":"deep"}'),
)
PACK = {
    ".jsonl": bytes,
    ".jsonl.gz": gzip.compress,
    ".jsonl.zst": zstandard.compress,
    ".jsonl.xz": lzma.compress,
    ".jsonl.bz2": bz2.compress,
}


def read(path, size):
    """Documents and bad lines, by small chunks as workers read them."""
    found, bad, numbers = [], [], LineNumbers()
    for chunk in chunks(expand([str(path)]), size=size):
        parsed = read_chunk(chunk, ["text"])
        numbers.enter(chunk, parsed.lines)
        found += parsed.documents[0]
        bad += [numbers.where(one) for one in parsed.bad]
    return found, bad


def check_documents_and_bad_lines(path, size):
    found, bad = read(path, size)
    assert all(isinstance(document, bytes) for document in found)
    assert list(documents([str(path)], skip_bad_lines=True)) == found
    if bad:
        with pytest.raises(CorpusError) as refused:
            list(documents([str(path)]))
        assert refused.value.where == bad[0]


@pytest.mark.long
@pytest.mark.parametrize("ending", list(PACK))
@inputs(60)
@given(content=st.lists(lines, max_size=6).map(b"\n".join), edits=edits, size=st.integers(1, 200))
def test_any_file_is_read_or_its_lines_are_named(tmp_path_factory, tried, ending, content, edits, size):
    tried(f"a {ending} file")
    path = tmp_path_factory.getbasetemp() / f"c{ending}"
    packed = PACK[ending](content)
    path.write_bytes(packed)
    # What begins as another kind of file does is taken for one, whatever it is called.
    if kind_of(content[:HEAD_BYTES]) is None:
        check_documents_and_bad_lines(path, size)
    # Damaged after it was packed: what is read may be anything, but it ends.
    path.write_bytes(damaged(packed, edits))
    with suppress(CorpusError):
        assert all(isinstance(document, bytes) for document in read(path, size)[0])
