"""The documents of a chunk end to end."""

from sources import write_all

from megatron_proxy.data.corpus import chunks, expand, read_joined
from megatron_proxy.data.corpus.chunk import Block, Stretch


def test_several_keys():
    chunk = Block("x", 0, b'{"a": "1", "b": "23"}\n{"a": "4"}\n', 0)
    found = read_joined(["b", "a"], chunk)
    assert [(units, lengths.tolist()) for units, lengths in found.texts] == [(b"23", [2]), (b"1", [1])]
    assert [bad.line for bad in found.bad] == [1]


def test_the_first_documents_and_the_bad_lines_among_them():
    chunk = Block("x", 0, b'bad\n{"a": "12"}\nbad\n{"a": ""}\n{"a": "345"}\nbad\n', 0)
    found = read_joined(["a"], chunk)
    assert found.first(3) is found
    first = found.first(2)
    assert [(units, lengths.tolist()) for units, lengths in first.texts] == [(b"12", [2, 0])]
    assert [bad.line for bad in first.bad] == [0, 2]


def test_what_a_worker_sends_back_says_how_much_of_the_source_it_was(tmp_path):
    for name, (path, taking) in write_all(tmp_path, ["a", "bc"]).items():
        for chunk in chunks(expand([path], taking)):
            sent = read_joined(["text"], chunk)
            assert sent.disk_bytes == chunk.disk_bytes > 0, name
            assert sent.stretch == (chunk if isinstance(chunk, Stretch) else None), name
