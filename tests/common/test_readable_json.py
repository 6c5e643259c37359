"""JSON that people read: letters are kept, and read back the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.common import readable_json


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        ("é😀", "utf-8", '"é😀"'),
        ("é😀", "ascii", r'"\u00e9\ud83d\ude00"'),
        ("é€", "latin-1", r'"é\u20ac"'),
        ("é\udcff", "utf-8", r'"é\udcff"'),
        ({"ключ": [1, None, True]}, "utf-8", '{"ключ": [1, null, true]}'),
    ],
)
def test_letters_that_the_encoding_has(content, encoding, text):
    assert readable_json.text(content, encoding=encoding) == text


@given(st.text(st.characters(exclude_categories=[]), max_size=20), st.sampled_from(["utf-8", "ascii", "cp1252"]))
def test_it_reads_back_the_same(content, encoding):
    text = readable_json.text({content: content}, encoding=encoding)
    assert json.loads(text.encode(encoding).decode(encoding)) == json.loads(json.dumps({content: content}))


def test_a_file_is_indented_and_ends_with_a_line():
    assert readable_json.file({"é": 1}) == '{\n  "é": 1\n}\n'.encode()
