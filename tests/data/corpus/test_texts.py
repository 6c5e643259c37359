"""Texts straight from the file's bytes: exactly what the parser makes of the same lines, and the same refusals."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from megatron_proxy.data.corpus import ScannerError, TextReader, chunks, expand, read_chunk, read_joined
from megatron_proxy.data.corpus.chunk import Block
from megatron_proxy.data.corpus.scan import PADDING, room_for, source_of, take_lines

PADDING_BYTES = len(PADDING)


def taken(content: bytes, key: str = "text") -> tuple[list[bytes], int]:
    """The texts that the scanner takes by itself, and where it stops."""
    texts = room_for(len(content))
    at, lines, count, used = take_lines(source_of(content + PADDING, len(content), key), 0, len(content), texts, 0, 0)
    assert count <= lines
    lengths = texts.lengths[:count].tolist()
    assert sum(lengths) == used
    ends = np.cumsum(lengths).tolist()
    return [texts.data[end - length : end].tobytes() for end, length in zip(ends, lengths, strict=True)], at


def assert_same(content: bytes, key: str = "text") -> None:
    """The reader and the parser agree on documents, bad lines and their reasons."""
    chunk = Block("x.jsonl", content, len(content), 0)
    expected = read_chunk(chunk, [key])
    found = TextReader(key)(chunk)
    ((units, lengths),) = found.texts
    assert units == b"".join(expected.documents[0])
    assert lengths.tolist() == [len(document) for document in expected.documents[0]]
    assert lengths.dtype == np.int32
    assert found.bad == expected.bad
    assert found.lines == expected.lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"text": "abc"}', b"abc"),
        (b'{"text":""}', b""),
        (b' {\t"url" : "a\\nb" , "text" : "abcdefgh" , "z":"" } \r', b"abcdefgh"),
        (rb'{"text": "\"\\\/\b\f\n\r\t"}', b'"\\/\b\f\n\r\t'),
        (rb'{"text": "\u0041\u00e9\u20AC\ud83d\uDE42\u0000"}', "Aé€🙂\0".encode()),
        ('{"text": "é€🙂\x7f\uffff\U0010ffff"}'.encode(), "é€🙂\x7f\uffff\U0010ffff".encode()),
        (b'{"text": "0123456\\n890123456789\\t"}', b"0123456\n890123456789\t"),
    ],
)
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b'\n\n{"text": "more"}\n'])
def test_plain_lines_are_taken(line, text, ending):
    texts, at = taken(line + ending)
    assert texts == [text, b"more"][: 2 if b"more" in ending else 1]
    assert at >= len(line + ending)
    assert_same(line + ending)


UNUSUAL = [
    b"",
    b"{}",
    b"[]",
    b'"text"',
    b'{"text": 1}',
    b'{"text": null}',
    b'{"text": "a", "n": 1}',
    b'{"text": "a", "n": [1, {"b": 2}]}',
    b'{"text": "a", "text": "b"}',
    b'{"text": "a", "text": 1}',
    b'{"other": "a"}',
    rb'{"te\u0078t": "a"}',
    rb'{"text": "a", "te\u0078t": "b"}',
    rb'{"text": "\udc80 a byte"}',
    rb'{"text": "\ud800"}',
    rb'{"text": "\ud83dx\ude42"}',
    rb'{"text": "\ud83d\u0041"}',
    rb'{"text": "\ude42\ud83d"}',
    rb'{"text": "\x41"}',
    rb'{"text": "\u00g0"}',
    rb'{"text": "\u00"}',
    rb'{"text": "\U0041"}',
    b'{"text": "\\"}',
    b'{"text": "\\',
    b'{"text": "tab\there"}',
    b'{"text": "nul\x00here"}',
    b'{"text": "a"',
    b'{"text": "a',
    b'{"text": ',
    b'{"text"',
    b'{"text" "a"}',
    b'{"text": "a",}',
    b'{,"text": "a"}',
    b'{"text": "a"}}',
    b'{"text": "a"} x',
    b'{"text": "a"}\x0b',
    b'{"text": "a"}\x00',
    b'{"a": "b" "text": "a"}',
    b'\xef\xbb\xbf{"text": "a"}',
    b'{"text": "\x80"}',
    b'{"text": "\xc0\x80"}',
    b'{"text": "\xc1\xbf"}',
    b'{"text": "\xc3"}',
    b'{"text": "\xe0\x9f\xbf"}',
    b'{"text": "\xed\xa0\x80"}',
    b'{"text": "\xe2\x82"}',
    b'{"text": "\xf0\x8f\xbf\xbf"}',
    b'{"text": "\xf4\x90\x80\x80"}',
    b'{"text": "\xf5\x80\x80\x80"}',
    b'{"text": "\xf0\x9f\x99"}',
    b'{"\xff": "b", "text": "a"}',
    b"\x0b",
    b" \t\r",
]


@pytest.mark.parametrize("line", UNUSUAL)
def test_other_lines_are_left_to_the_parser(line):
    if line.strip():
        assert taken(line) == ([], 0)
    for content in (line, line + b"\n", b'{"text": "a"}\n' + line + b'\n\n{"text": "b"}\n', (line + b"\n") * 12):
        assert_same(content)


strings = st.text() | st.text('ab"\\\n\t\x00é€🙂/\ud83d\udc80', max_size=30)
values = strings | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False), lambda inner: st.lists(inner, max_size=2)
)
records = st.dictionaries(
    st.sampled_from(["text", "a", "b\n", "téxt", ""]), values, max_size=3
) | st.fixed_dictionaries({"text": strings}, optional={"url": strings, "text2": strings})
lines = st.builds(
    lambda record, ascii_, indent: json.dumps(record, ensure_ascii=ascii_, separators=indent).encode(
        "utf-8", "surrogatepass"
    ),
    records,
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r: ")]),
)


@st.composite
def damaged(draw):
    """A line with some bytes changed, left out or put in."""
    line = bytearray(draw(lines))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(line)))
        line[place : place + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"}", b"{", b",", b"\\u", b"\n", b" ", b"\xed\xa0"])
        )
    return bytes(line)


@settings(max_examples=400, deadline=None)
@given(found=st.lists(damaged() | lines | st.binary(max_size=20), max_size=12), end=st.sampled_from([b"", b"\n"]))
@example(found=[b'{"text": "a"}'] * 3, end=b"")
def test_any_lines_give_what_the_parser_gives(found, end):
    assert_same(b"\n".join(found) + end)


ODD = ["é", "€", "🙂", "\n", '"', "\\", "\\n", "\n" * 70, "é" * 70, "\ud83d"]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_at_the_border_of_a_block(odd, ascii_only):
    # In JSON it takes up to 12 bytes, so that it begins before the border, lies across it, and begins after it.
    texts = [
        place * "x" + odd + rest for place in range(PADDING_BYTES - 14, PADDING_BYTES + 3) for rest in ("", "y" * 90)
    ]
    lines = [json.dumps({"text": text}, ensure_ascii=ascii_only) for text in [*texts, *(odd + text for text in texts)]]
    assert_same("\n".join(lines).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("place", [*range(PADDING_BYTES - 14, PADDING_BYTES + 3)])
@pytest.mark.parametrize(
    "bad", [b"\\", b"\\u123", b"\\ud83d\\u00e9", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x99", b"\t", b""]
)
def test_a_string_that_is_cut_off_at_the_border_of_a_block(place, bad):
    for ending in (b"", b"\n", b'"}', b'x"}\n{"text": "a"}'):
        assert_same(b'{"text": "' + place * b"x" + bad + ending)


def test_lent_texts_are_those_that_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(json.dumps({"text": f"{size}" * size}).encode() + b"\n" for size in (9, 800, 0, 30, 500)))
    monkeypatch.setattr("megatron_proxy.data.corpus.texts._KEPT_BYTES", 1_500)
    lends, keeps = TextReader("text", lend=True), TextReader("text")
    for chunk in chunks(expand([str(path)]), size=300):
        (lent, lengths), (kept, kept_lengths) = lends(chunk).texts[0], keeps(chunk).texts[0]
        assert isinstance(kept, bytes)
        assert bytes(lent) == kept
        assert lengths.tolist() == kept_lengths.tolist()


@pytest.mark.parametrize("key", ["", "a b", "té", 'a"b', "a\\b", "a\nb", "\0" * 20, "\ud800"])
def test_any_key(key):
    line = json.dumps({"x": "y", key: "text"}).encode()
    assert_same(line + b"\n" + json.dumps({key: "z"}, ensure_ascii=False).encode("utf-8", "surrogatepass"), key)
    assert_same(b'{"a"b": "c"}\n{"a\\b": "c"}\n"', key)


def test_the_memory_of_one_chunk_does_not_show_in_the_next(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    sizes = [5, 3_000, 0, 40, 900, 7, 7, 2_000]
    path.write_bytes(b"".join(json.dumps({"text": "x\n" * size}).encode() + b"\n" for size in sizes))
    monkeypatch.setattr("megatron_proxy.data.corpus.texts._KEPT_BYTES", 1_500)
    for size in (1, 50, 700, 1 << 20):
        reader = TextReader("text")
        found = [reader(chunk).texts[0] for chunk in chunks(expand([str(path)]), size=size)]
        assert b"".join(units for units, _ in found) == b"x\n" * sum(sizes)
        assert [int(length) for _, lengths in found for length in lengths] == [2 * size for size in sizes]


def test_several_keys():
    chunk = Block("x", b'{"a": "1", "b": "23"}\n{"a": "4"}\n', 0, 0)
    found = read_joined(["b", "a"], chunk)
    assert [(units, lengths.tolist()) for units, lengths in found.texts] == [(b"23", [2]), (b"1", [1])]
    assert [bad.line for bad in found.bad] == [1]


def test_code_that_cannot_be_compiled_is_told_before_anything_is_read(monkeypatch):
    def refuse(*arguments):
        raise AttributeError("VectorType has no attribute 'as_pointer'")

    monkeypatch.setattr("megatron_proxy.data.corpus.scan.take_lines", refuse)
    with pytest.raises(ScannerError, match="AttributeError: VectorType"):
        TextReader("text")
