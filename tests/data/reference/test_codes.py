"""Import of corpora compressed for the paper's implementation: values, windows, symbols, views."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy import cli, compressors
from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.dataset.opened import PreparedDataset
from megatron_proxy.data.reference import importing
from megatron_proxy.data.reference.codes import codes_of, compressor_for
from megatron_proxy.errors import CompressorError, ConfigurationError, CorpusError


def packed(values) -> bytes:
    """9 bits a value, from the least significant bit on: one long little-endian number."""
    number = sum(value << 9 * place for place, value in enumerate(values))
    return number.to_bytes((9 * len(values) + 7) // 8, "little")


def encoded(values) -> str:
    return base64.b64encode(packed(values)).decode()


@given(st.lists(st.integers(0, 511)))
def test_values_are_unpacked(values):
    assert codes_of(encoded(values).encode(), compressor_for("m1_ac_ow16", None), 1).tolist() == values


@pytest.mark.parametrize("content", [b"\x01", b"\xff\xff", b"\x00\x00\xff", b"\x00"])
def test_left_over_bits_are_refused(content):
    with pytest.raises(CorpusError, match="'m1_ac_ow16' of document 3: the packed values end within a value"):
        codes_of(base64.b64encode(content), compressor_for("m1_ac_ow16", 16), 3)


VALUES = [ord("d"), 256 + 0x12, 256 + 0x34, 256 + 0xFF, 256 + 0x01, ord("x")]


@pytest.mark.parametrize(
    ("key", "bits", "codes"),
    [
        ("m1_ac_ow16", 16, [100, 256 + 0x1234, 256 + 0xFF01, 120]),
        ("m1_ac_ow16", 8, [100, 256 + 0x12, 256 + 0x34, 256 + 0xFF, 256 + 0x01, 120]),
        ("m1_ow16_ac", 4, [100, *(256 + digit for digit in (1, 2, 3, 4, 15, 15, 0, 1)), 120]),
        # Windows of 12 bits take two bytes, of which the last four bits are padding.
        ("m1_ac_ow12", 12, [100, 256 + 0x123, 256 + 0xFF0, 120]),
        ("m1_ac_ow12", 6, [100, 256 + 0x04, 256 + 0x23, 256 + 0x3F, 256 + 0x30, 120]),
        ("m1_ac_ow16", None, VALUES),
    ],
)
def test_windows_are_cut_into_symbols(key, bits, codes):
    compressor = compressor_for(key, bits)
    found = codes_of(encoded(VALUES).encode(), compressor, 1)
    assert found.tolist() == codes
    assert found.dtype == compressor.vocabulary.code_dtype
    assert compressor.num_symbols == (256 if bits is None else 2**bits)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"!", "not base64"),
        (b"\xff", "not base64"),
        (b"AA", "not base64"),
        (encoded([256]).encode(), "at value 0 are no whole number of 16-bit windows"),
        (encoded([65, 256, 65]).encode(), "at value 1 are no whole number of 16-bit windows"),
    ],
)
def test_other_values_are_refused(value, message):
    with pytest.raises(CorpusError, match=f"'m1_ac_ow16' of document 1: .*{message}"):
        codes_of(value, compressor_for("m1_ac_ow16", 16), 1)


@pytest.mark.parametrize(
    ("key", "bits", "window", "where"),
    [
        ("m1_ac", 16, None, "--compressed-key"),
        ("m1_ac_ow16", 12, None, "--bits"),
        ("m1_ac_ow16", 16, 65, "--window-bits"),
        ("m1_ac_ow64", 32, None, "--bits"),
    ],
)
def test_settings_that_do_not_fit_name_the_flag(key, bits, window, where):
    with pytest.raises(ConfigurationError, match=where):
        compressor_for(key, bits, window)


def test_the_compressor_is_not_here():
    compressor = compressor_for("m1_ac_ow16", 16)
    again = compressors.load("imported", compressor.config(), {})
    assert again.fingerprint == compressor.fingerprint
    assert (again.num_symbols, again.literals, again.lossless, again.spans) == (65_536, True, False, False)
    for refuse in (lambda: again.encode(b"x"), lambda: again.decode(np.array([1])), lambda: again.build({}, iter)):
        with pytest.raises(CompressorError, match="import-reference"):
            refuse()


def write(path, documents, key="m1_ac_ow16"):
    path.write_text("".join(json.dumps({"text": text, key: value}) + "\n" for text, value in documents))


DOCUMENTS = [("deux x", encoded(VALUES)), ("", encoded([])), ("ab", encoded([97, 98]))]


def run(tmp_path, *more):
    places = ["--input", str(tmp_path / "c.jsonl"), "--output-prefix", str(tmp_path / "p"), "--workers", "0"]
    return cli.main(["import-reference", *places, "--compressed-key", "m1_ac_ow16", *more])


def test_becomes_a_dataset(tmp_path, capsys):
    write(tmp_path / "c.jsonl", DOCUMENTS)
    assert run(tmp_path) == 0
    assert "--proxy-compression imported" in capsys.readouterr().out
    prefix = str(tmp_path / "p")
    dataset = PreparedDataset.open(prefix)
    entry = dataset.compressed("imported")
    assert (entry.num_symbols, entry.literals, entry.lossless) == (65_536, True, False)
    coded = dataset.codes("imported")
    assert [coded.get(i).tolist() for i in range(3)] == [[100, 256 + 0x1234, 256 + 0xFF01, 120], [], [97, 98]]
    raw = dataset.raw()
    assert [raw.get(i).tobytes() for i in range(3)] == [b"deux x", b"", b"ab"]
    assert cli.main(["verify", prefix, "--deep", "--workers", "0"]) == 0


def test_runs_again_and_refuses_other_bits(tmp_path, capsys):
    write(tmp_path / "c.jsonl", DOCUMENTS)
    assert run(tmp_path) == 0
    assert run(tmp_path) == 0
    assert run(tmp_path, "--bits", "8") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run(tmp_path, "--bits", "8", "--overwrite") == 0
    assert manifest.read(str(tmp_path / "p")).compressed["imported"].num_symbols == 256


def test_bad_values_name_the_document(tmp_path, capsys):
    write(tmp_path / "c.jsonl", [*DOCUMENTS, ("x", "????")])
    assert run(tmp_path) == 1
    assert "'m1_ac_ow16' of document 4: not base64" in capsys.readouterr().err
    assert "imported" not in manifest.read(str(tmp_path / "p")).compressed


def test_lines_without_the_key_name_the_line(tmp_path, capsys):
    write(tmp_path / "c.jsonl", DOCUMENTS, key="other")
    assert run(tmp_path) == 1
    assert "c.jsonl:1: the line lacks the key 'm1_ac_ow16'" in capsys.readouterr().err


def test_what_is_wrong_with_the_first_line_is_told_before_the_raw_view_is_made(tmp_path, capsys):
    for document, key, message in [
        (("ab", encoded([97])), "other", "c.jsonl:1: the line lacks the key 'm1_ac_ow16' (its keys: 'text', 'other')"),
        (("ab", "????"), "m1_ac_ow16", "'m1_ac_ow16' of document 1: not base64"),
    ]:
        write(tmp_path / "c.jsonl", [document, *DOCUMENTS], key=key)
        assert run(tmp_path) == 1
        error = capsys.readouterr().err
        assert message in error
        assert ("what to do: name another key, --compressed-key KEY, or" in error) == (key == "other")
        assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


def test_lines_without_either_key_can_be_passed_over(tmp_path, capsys):
    lines = [
        {"text": "a", "m1_ac_ow16": encoded([97])},
        {"text": "b"},
        {"m1_ac_ow16": ""},
        {"text": "", "m1_ac_ow16": ""},
    ]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(tmp_path, "--skip-bad-lines") == 0
    printed = capsys.readouterr()
    assert printed.err.count("passed over") == 2
    assert "2 bad lines were passed over" in printed.out
    content = manifest.read(str(tmp_path / "p"))
    assert (content.documents, content.compressed["imported"].view.units) == (2, 1)


@pytest.mark.parametrize("flag", ["--json-keys", "--text-key"])
def test_the_key_of_the_text(tmp_path, flag):
    line = {"content": "a", "m1_ac_ow16": encoded([97])}
    (tmp_path / "c.jsonl").write_text(json.dumps(line) + "\n")
    assert run(tmp_path) == 1
    assert run(tmp_path, flag, "content") == 0


def test_a_corpus_that_changes_meanwhile(tmp_path, capsys, monkeypatch):
    write(tmp_path / "c.jsonl", DOCUMENTS)
    prepare = importing.prepare

    def and_change(*args):
        prepare(*args)
        write(tmp_path / "c.jsonl", [("another", encoded([97])), *DOCUMENTS[1:]])

    monkeypatch.setattr(importing, "prepare", and_change)
    assert run(tmp_path) == 1
    assert "error: " + str(tmp_path / "p") + ": the corpus changed while it was read (" in capsys.readouterr().err
    assert list(manifest.read(tmp_path / "p").compressed) == []
