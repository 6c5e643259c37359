"""Documents from JSONL: every way of writing them, every way of breaking them, always with file:line."""

import bz2
import contextlib
import gzip
import itertools
import json
import lzma
import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sources import PACK, give_input

from megatron_proxy.data.corpus import Bad, bad_line, chunks, decompress, documents, expand, read_chunk
from megatron_proxy.data.corpus.chunk import LineNumbers, Stretch
from megatron_proxy.data.corpus.jsonl import BadLine, parse_line
from megatron_proxy.errors import CorpusError

TEXTS = ["def f():\r\n\treturn 0\n", "", "NUL \0 inside", "🦜 ćé", "\udc80\udcff", "\ud800", "a\u2028b\x85c\rd"]
BYTES = [
    b"def f():\r\n\treturn 0\n",
    b"",
    b"NUL \0 inside",
    "🦜 ćé".encode(),
    b"\x80\xff",
    b"\xed\xa0\x80",
    "a\u2028b\x85c\rd".encode(),
]
CONTENT = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()


def write(path, content):
    path.write_bytes(PACK.get(path.suffix, bytes)(content))
    return str(path)


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.jsonl.zst", "c.jsonl.xz", "c.jsonl.bz2"])
def test_every_kind_of_text_comes_back_byte_for_byte(tmp_path, name):
    assert list(documents([write(tmp_path / name, CONTENT)])) == BYTES


@given(st.binary())
def test_any_bytes_can_be_given_as_surrogates(content):
    line = json.dumps({"text": content.decode("utf-8", "surrogateescape")}).encode()
    assert parse_line(line, ["text"]) == [content]


@given(st.text())
def test_any_text_is_its_utf8_whoever_parses_it(text):
    # NaN sends the line to Python's parser, the raw characters and the escapes go different ways in both.
    for ascii_only in (True, False):
        for extra in ("", ', "x": NaN'):
            line = f'{{"text": {json.dumps(text, ensure_ascii=ascii_only)}{extra}}}'.encode()
            assert parse_line(line, ["text"]) == [text.encode()]


def test_the_encoding_of_the_file_makes_no_difference(tmp_path):
    plain = json.dumps({"text": "é🦜"}, ensure_ascii=False)
    escaped = json.dumps({"text": "é🦜"})
    content = b"\xef\xbb\xbf" + f"{plain}\r\n\n   \n{escaped}".encode()
    assert list(documents([write(tmp_path / "c.jsonl", content)])) == ["é🦜".encode()] * 2


def test_several_keys_stay_aligned(tmp_path):
    path = write(tmp_path / "c.jsonl", b'{"a": "1", "b": "x"}\n\n{"b": "y"}\n{"a": "2", "b": "z"}\n')
    (chunk,) = chunks(expand([path]))
    parsed = read_chunk(chunk, ["b", "a"])
    assert parsed.documents == [[b"x", b"z"], [b"1", b"2"]]
    assert parsed.lines == 4
    assert parsed.bad == [Bad(2, 1, "the line lacks the key 'a' (its keys: 'b')")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", r"not JSON \(Expecting property name enclosed in double quotes, column 2\)"),
        (b'{"text": "a"} x', r"not JSON \(Extra data, column 15\)"),
        (b'{"text": "a\0b"}', r"not JSON \(Invalid control character at, column 12\)"),
        (b'{"text": "caf\xe9"}', r"not UTF-8 \(byte 0xe9 at column 14\)"),
        (b'\xff\xfe{\x00"\x00', "not UTF-8"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8"),
        (b'["text"]', "the line is an array, not a JSON object"),
        (b'"text"', "the line is a string, not a JSON object"),
        (b"1", "the line is a number, not a JSON object"),
        (b"null", "the line is null, not a JSON object"),
        (b"{}", r"lacks the key 'text' \(its keys: none\)"),
        (b'{"Text": "a", "id": 1}', r"lacks the key 'text' \(its keys: 'Text', 'id'\)"),
        (b'{"text": null}', "the value of 'text' is null, not a string"),
        (b'{"text": ["a"]}', "the value of 'text' is an array, not a string"),
        (b'{"text": {}}', "the value of 'text' is an object, not a string"),
        (b'{"text": true}', "the value of 'text' is a boolean, not a string"),
        (b'{"x": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"x": NaN, "n": ' + b"1" * 5000 + b"}", "not JSON .*4300 digits"),
    ],
)
def test_a_bad_line_says_why_and_where(tmp_path, line, reason):
    path = write(tmp_path / "c.jsonl", b'{"text": "good"}\n\n' + line + b'\n{"text": "more"}\n')
    with pytest.raises(CorpusError, match=rf"c\.jsonl:3: .*{reason}(.|\n)*--skip-bad-lines"):
        list(documents([path]))
    assert list(documents([path], skip_bad_lines=True)) == [b"good", b"more"]


@given(st.binary(max_size=200))
def test_any_line_is_parsed_or_refused_with_a_reason(line):
    with contextlib.suppress(BadLine):
        assert all(isinstance(document, bytes) for document in parse_line(line, ["text"]))


def test_globs_are_sorted_and_inputs_keep_their_order(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "c.jsonl.gz", "[odd].jsonl"):
        write(tmp_path / name, json.dumps({"text": name}).encode())
    found = list(documents([str(tmp_path / "c*"), str(tmp_path / "[ab].jsonl"), str(tmp_path / "[odd].jsonl")]))
    assert found == [b"c.jsonl.gz", b"a.jsonl", b"b.jsonl", b"[odd].jsonl"]


def test_folders_of_a_glob_may_have_brackets_in_their_names(tmp_path):
    for folder in ("data[1]", "data1", "x/raw[ab]", "[deep]/[er]", "st*r"):
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder / "c.jsonl", json.dumps({"text": folder}).encode())

    def found(pattern):
        return [text.decode() for text in documents([str(tmp_path / pattern)])]

    assert found("data[1]/*.jsonl") == ["data[1]"]
    assert found("data[12]/*.jsonl") == ["data1"]
    assert found("*/raw[ab]/*") == ["x/raw[ab]"]
    assert found("[deep]/**/*.jsonl") == found("[deep]/[er]/c.*") == ["[deep]/[er]"]
    assert found("st*r/*.jsonl") == ["st*r"]


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ({"id": "7", "content": "a long one", "n": 3}, "name another key, --json-keys content, or pass over bad lines"),
        ({"the text": "it"}, "name another key, --json-keys 'the text', or"),
        ({"id": 7}, "name another key, --json-keys KEY, or"),
    ],
)
def test_a_key_that_is_not_there_proposes_the_flag_for_it(tmp_path, line, fix):
    path = write(tmp_path / "c.jsonl", json.dumps(line).encode())
    with pytest.raises(CorpusError, match="lacks the key 'text'") as refused:
        list(documents([path]))
    assert refused.value.fix.startswith(fix)


def test_other_keys_have_flags_of_their_own(tmp_path):
    path = write(tmp_path / "c.jsonl", b'{"domain": "a long name"}\n{"text": "x"}')
    (chunk,) = chunks(expand([path]))
    first, second = read_chunk(chunk, ["text", "domain"]).bad
    flags = {"domain": "--domain-key"}
    assert bad_line("c", first, flags).fix.startswith("name another key, --json-keys KEY, or")
    assert bad_line("c", second, flags).fix.startswith("name another key, --domain-key KEY, or")


def test_inputs_that_cannot_be_read_are_named(tmp_path):
    path = write(tmp_path / "a.jsonl", CONTENT)
    for inputs, message in [
        ([str(tmp_path / "*.json")], r"--input: no file matches '.*\*\.json'"),
        ([str(tmp_path / "missing.jsonl")], r"missing\.jsonl: cannot be read \(No such file or directory\)"),
        (["/dev/null"], "not a regular file"),
        ([str(tmp_path)], r"is a folder\n(.|\n)*--files"),
        ([path, str(tmp_path / "*.jsonl")], r"--input: '.*a\.jsonl' is named 2 times"),
    ]:
        with pytest.raises(CorpusError, match=message):
            expand(inputs)


def test_a_file_that_vanishes_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    (chunk,) = chunks(expand([write(path, CONTENT)]))
    path.unlink()
    with pytest.raises(CorpusError, match=r"a\.jsonl: cannot be read \(No such file"):
        read_chunk(chunk, ["text"])


@pytest.mark.parametrize("name", ["c.jsonl.gz", "c.jsonl.zst", "c.jsonl.xz", "c.jsonl.bz2"])
@pytest.mark.parametrize("keep", [1, 10, -1, -9])
def test_a_truncated_stream_names_the_line_reached(tmp_path, name, keep):
    path = tmp_path / name
    write(path, CONTENT)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorpusError, match=rf"{name}:\d+: the (gzip|zstd|xz|bz2) stream is truncated or damaged"):
        list(documents([str(path)]))


def test_empty_files_garbage_after_a_stream_and_wrong_endings_are_refused(tmp_path):
    for ending, pack in PACK.items():
        for content in (b"", pack(CONTENT) + b"garbage", CONTENT):
            path = tmp_path / f"c{ending}"
            path.write_bytes(content)
            with pytest.raises(CorpusError, match="truncated or damaged"):
                list(documents([str(path)]))


def test_members_and_frames_are_joined_and_told_by_content(tmp_path):
    halves = CONTENT[:50], CONTENT[50:]
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    for name, content in [
        ("a.jsonl", b"".join(map(gzip.compress, halves))),
        ("b.jsonl", b"".join(map(zstandard.compress, halves))),
        ("b.xz", (b"\0" * 8).join(map(lzma.compress, halves)) + b"\0" * 4),
        ("b.bz2", b"".join(map(bz2.compress, halves)) + bz2.compress(b"")),
        ("c.zst", skippable + zstandard.compress(CONTENT) + skippable),
    ]:
        (tmp_path / name).write_bytes(content)
        assert list(documents([str(tmp_path / name)])) == BYTES


LINES = st.lists(
    st.sampled_from([b'{"text": "a"}\n', b"\n", b"bad\n", b'{"text": "' + b"x" * 40 + b'"}\n']), max_size=30
)


@pytest.mark.long
@given(LINES, st.booleans(), st.integers(1, 60), st.integers(1, 7))
def test_stretches_and_shards_lose_and_double_nothing(tmp_path_factory, lines, last_newline, size, shards):
    content = b"".join(lines) if last_newline else b"".join(lines)[:-1]
    path = write(tmp_path_factory.mktemp("corpus") / "c.jsonl", content)
    (whole,) = list(chunks(expand([path]))) or [Stretch(path, 0, 0)]
    expected = read_chunk(whole, ["text"])
    found, places = [], []
    for shard in range(shards):
        numbers = LineNumbers()
        for chunk in chunks(expand([path]), shard=(shard, shards), size=size):
            parsed = read_chunk(chunk, ["text"])
            numbers.enter(chunk, parsed.lines)
            found += parsed.documents[0]
            places += [numbers.where(bad) for bad in parsed.bad]
    assert found == expected.documents[0]
    assert places == [f"{path}:{bad.line + 1}" for bad in expected.bad]


def test_blocks_of_a_compressed_file_know_their_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(decompress, "_PIECE_BYTES", 50)
    lines = [b'{"text": "' + b"x" * (7 * number) + b'"}\n' for number in range(40)]
    lines[30] = b"bad\n"
    path = write(tmp_path / "c.jsonl.gz", b"".join(lines))
    blocks = list(chunks(expand([path]), size=100))
    assert len(blocks) > 10
    assert b"".join(block.content for block in blocks) == b"".join(lines)
    assert sum(block.disk_bytes for block in blocks) == os.stat(path).st_size
    with pytest.raises(CorpusError, match=r"c\.jsonl\.gz:31: the line is not JSON"):
        list(documents([path]))


def test_compressed_files_go_whole_to_one_shard(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.jsonl.zst", json.dumps({"text": str(number)}).encode())
    files = expand([str(tmp_path / "*.zst")])
    shards = [[read_chunk(c, ["text"]).documents[0][0] for c in chunks(files, shard=(i, 4))] for i in range(4)]
    assert [len(shard) for shard in shards] == [1, 1, 1, 0]
    assert [*itertools.chain(*shards)] == [b"0", b"1", b"2"]


def test_a_document_longer_than_an_index_can_hold_is_a_bad_line(monkeypatch):
    monkeypatch.setattr("megatron_proxy.data.corpus.jsonl.MAX_DOCUMENT_BYTES", 3)
    assert parse_line(b'{"text": "abc"}', ["text"]) == [b"abc"]
    with pytest.raises(BadLine, match="the document has 4 bytes, more than an index can hold"):
        parse_line('{"text": "éé"}'.encode(), ["text"])


@pytest.mark.parametrize("ending", ["", *PACK])
def test_standard_input_is_read_once(tmp_path, monkeypatch, ending):
    give_input(monkeypatch, PACK.get(ending, bytes)(CONTENT))
    assert list(documents(["-"])) == BYTES
    with pytest.raises(CorpusError, match="standard input: it can be read once"):
        list(documents(["-"]))
    give_input(monkeypatch, b"{}\n")
    with pytest.raises(CorpusError, match="-:1: the line lacks the key 'text'"):
        list(documents(["-"]))


@pytest.mark.long
def test_a_little_xz_that_stands_for_much_comes_in_pieces(tmp_path):
    path = write(tmp_path / "c.xz", bytes(50 << 20))
    assert os.path.getsize(path) < 10_000
    assert {len(piece) for piece, _ in decompress.pieces(path, "xz")} == {1 << 20}


@pytest.mark.parametrize(
    ("record", "key", "document"),
    [
        ({"meta": {"text": "inner"}}, "meta.text", b"inner"),
        ({"meta": {"text": "inner"}, "meta.text": "outer"}, "meta.text", b"outer"),
        ({"a": {"b": {"c": "deep"}, "b.c": "flat"}}, "a.b.c", b"flat"),
        ({"a": {"b": {"c": "deep"}}}, "a.b.c", b"deep"),
        ({"": {"": "odd"}}, ".", b"odd"),
    ],
)
def test_a_key_reaches_into_records_where_none_has_its_name(record, key, document):
    assert parse_line(json.dumps(record).encode(), [key]) == [document]


@pytest.mark.parametrize("record", [{}, {"meta": "text"}, {"meta": {"content": "x"}}, {"text": "x"}, {"meta": None}])
def test_a_record_that_is_not_there_is_a_key_that_is_lacking(record):
    with pytest.raises(BadLine, match=r"the line lacks the key 'meta\.text'"):
        parse_line(json.dumps(record).encode(), ["meta.text"])
