"""``megatron-proxy inspect``: figures by exact values, alignment, and the three forms of the report."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from megatron_proxy import cli, compressors
from megatron_proxy.common.pages.plots import Series, bars, lines
from megatron_proxy.data.dataset.opened import PreparedDataset
from megatron_proxy.errors import ConfigurationError, DatasetError
from megatron_proxy.tools.inspection import inspect
from megatron_proxy.tools.inspection.alignment import align
from megatron_proxy.tools.inspection.figures import LengthClass, by_length, entropy_of, evenly_spaced
from megatron_proxy.tools.inspection.page import page
from megatron_proxy.tools.inspection.text import comparison, readable, report

TEXTS = [f"<b>line {n}</b> & the quick brown fox {n * n}\n" * 12 for n in range(12)] + ["", "żółć 🦊\n" * 9, "x"]
NAMES = ["gzip", "identity", "neural-ac", "trie"]
SMALL = ["--neural-ac-counts", "1", "--neural-ac-bits", "12", "--trie-symbols", "200"]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    argv = ["prepare", "--input", str(corpus), "--output-prefix", str(folder / "p"), "--workers", "0"]
    assert cli.main([*argv, "--compressor", ",".join(NAMES), *SMALL]) == 0
    return str(folder / "p")


@pytest.fixture(scope="module")
def trie(prefix):
    return inspect(prefix, "trie", pieces=4)


@pytest.mark.long
def test_bytes_are_one_code_each(prefix):
    figures = inspect(prefix, "identity")
    total = sum(len(text.encode()) for text in TEXTS)
    assert (figures.documents, figures.bytes, figures.codes, figures.bytes_per_code) == (15, total, total, 1.0)
    assert figures.frequencies.literal_codes == 0.0
    assert figures.way_back.exact == figures.way_back.documents
    counts = np.bincount(np.frombuffer("".join(TEXTS).encode(), np.uint8), minlength=256)
    assert figures.frequencies.entropy == entropy_of(counts)
    assert figures.entropy_per_byte == figures.frequencies.entropy
    assert figures.frequencies.used == np.count_nonzero(counts)
    assert figures.frequencies.most[0].count == counts.max()
    # Deleting characters is all that is needed: no code changes. 504 … 564 characters each, rounded to whole ones.
    assert figures.stability.span == figures.stability.random == pytest.approx(0.1, abs=1e-3)


def test_symbols_stand_for_their_bytes(trie):
    assert trie.symbols <= 200
    assert trie.literals
    assert trie.bytes_per_code > 3.0
    assert (trie.way_back.documents, trie.way_back.exact, trie.way_back.bytes_kept) == (4, 4, 1.0)
    first = trie.frequencies.most[0]
    assert b"".join(text.encode() for text in TEXTS).count(first.bytes) >= first.count > 1
    assert trie.frequencies.ranks[0] == (1, first.count)
    assert trie.frequencies.ranks[-1][0] == trie.frequencies.used


def test_literals_are_counted_as_codes_and_as_bytes(prefix, trie):
    codes = np.fromfile(f"{prefix}_trie_document.bin", np.uint16)
    literal = np.count_nonzero(codes < 256)
    assert trie.codes == len(codes)
    assert trie.frequencies.literal_codes == literal / len(codes)
    assert trie.frequencies.literal_bytes == literal / trie.bytes


def test_the_fuzzy_way_back_is_measured(prefix):
    figures = inspect(prefix, "neural-ac")
    assert not figures.lossless
    assert 0.0 < figures.way_back.bytes_kept <= 1.0


def test_lengths_fall_into_classes():
    found = by_length(np.array([0, 1, 2, 3, 4, 7, 8, 1023, 1024], np.int32), np.array([0, 1, 1, 2, 2, 3, 4, 100, 50]))
    assert found == [
        LengthClass(1, 1, 1, 1),
        LengthClass(2, 2, 5, 3),
        LengthClass(4, 2, 11, 5),
        LengthClass(8, 1, 8, 4),
        LengthClass(512, 1, 1023, 100),
        LengthClass(1024, 1, 1024, 50),
    ]
    assert by_length(np.array([0], np.int32), np.array([0], np.int32)) == []


def test_entropy():
    assert entropy_of(np.array([1, 1, 0, 1, 1])) == 2.0
    assert entropy_of(np.array([7, 0])) == 0.0
    assert entropy_of(np.array([], np.int64)) == 0.0


def test_evenly_spaced():
    assert evenly_spaced(np.arange(9), 3).tolist() == [0, 4, 8]
    assert evenly_spaced(np.arange(2), 5).tolist() == [0, 1]
    assert evenly_spaced(np.arange(0), 5).tolist() == []


@pytest.mark.parametrize("name", NAMES)
def test_alignment_covers_the_beginning_in_both_views(prefix, name):

    compressor = PreparedDataset.open(prefix).compressor(name)
    document = "".join(TEXTS).encode()
    pairs = align(compressor, document, limit=1_000)
    beginning = b"".join(pair.bytes for pair in pairs)
    assert document.startswith(beginning)
    assert 997 <= len(beginning) <= 1_000
    assert [code for pair in pairs for code in pair.codes] == compressor.encode(beginning).tolist()
    if name == "trie":
        assert all(compressor.decode(np.array(pair.codes)) == pair.bytes for pair in pairs)
    assert align(compressor, b"") == []


def test_a_character_is_not_cut_in_two():
    (pair,) = align(compressors.get("gzip").build({"level": 9}, lambda: iter(())), "🦊🦊".encode(), limit=7)
    assert pair.bytes == "🦊".encode()


def test_bytes_on_one_line():
    assert readable("ab ż\n\t\0".encode() + b"\xff") == "ab ż\\n\\t\\x00\\xff"


def test_the_text_names_every_figure(trie):
    text = report(trie)
    assert f"bytes per code                 {trie.bytes_per_code:.3f}" in text
    assert "decoded exactly, documents     4 of 4" in text
    assert "from         256         12 documents" in text
    assert "side by side, beginning of document 0" in text
    assert "<b>line" in text


def test_the_table_has_a_column_for_each(prefix, trie):
    table = comparison([trie, inspect(prefix, "gzip", pieces=4)]).splitlines()
    assert table[0].split() == ["trie", "gzip"]
    rows = {line[:30].strip(): line[30:].split() for line in table[1:]}
    assert rows["lossless"] == ["yes", "yes"]
    assert float(rows["bytes per code"][0]) == pytest.approx(trie.bytes_per_code, abs=1e-3)


class Outline(HTMLParser):
    """Notes tags, checks that they close in order, and collects text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_else_and_shows_text_as_text(prefix, trie):
    outline = Outline()
    outline.feed(page(prefix, [trie, inspect(prefix, "gzip", pieces=4)]))
    assert outline.open == []
    assert not outline.tags & {"script", "link", "img", "iframe", "b"}
    assert {"svg", "table", "polyline", "rect"} <= outline.tags
    assert not [value for name, value in outline.attributes if name in ("src", "href")]
    assert "<b>line 0</b> & the quick" in outline.text.replace("\n", "")
    assert outline.text.count("Both views") == 2


def test_plots_place_points():
    svg = lines([Series("a", [(1, 0), (100, 1)])], "x", "y")
    assert 'points="58,236 446,' in svg
    assert lines([], "x", "y") == ""
    assert 'height="111"' in bars(["g"], [Series("a", [(0, 0.5)])], "y")


def test_bars_above_one_are_as_long_as_their_values():
    """An instability may be above 1: an edit can make more codes than there were."""
    drawn = bars(["g", "h"], [Series("a", [(0, 1.6), (1, 0.4)])], "y")
    assert re.findall(r'<rect [^>]* y="([^"]*)" [^>]* height="([^"]*)"', drawn) == [
        ("14", "222"),
        ("180.5", "55.5"),
    ]
    assert {">0.5</text>", ">1</text>", ">1.5</text>"} <= set(re.findall(r">[\d.]+</text>", drawn))


def test_the_command_prints_json_and_writes_a_page(prefix, tmp_path, capsys):
    target = tmp_path / "report.html"
    argv = ["inspect", prefix, "--compressor", "trie,gzip", "--pieces", "3", "--json", "--html", str(target)]
    assert cli.main(argv) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["compressor"], second["compressor"]) == ("trie", "gzip")
    assert first["stability"]["pieces"] == 3
    assert (
        first["pairs"][0]["bytes"]
        == "<b>line 0</b> & the quick brown fox 0\n<b>line "[: len(first["pairs"][0]["bytes"])]
    )
    assert target.read_text().startswith("<!doctype html>")


def test_the_command_compares_all_views(prefix, capsys):
    assert cli.main(["inspect", prefix, "--compare", "--pieces", "2", "--document", "13"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == NAMES
    assert cli.main(["inspect", prefix, "--compressor", "trie", "--pieces", "2", "--document", "13"]) == 0
    assert "beginning of document 13\n    \\xc5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--compressor", "zstd"], "has no zstd view"),
        (["--document", "15"], "--document: there is no document 15"),
        (["--document", "-1"], "--document: there is no document -1"),
        (["--pieces", "0"], "--pieces"),
        (["--compressor", "gzip", "--pieces", "1", "--html", f"{__file__}/x.html"], "--html: "),
    ],
)
def test_mistakes_are_named(prefix, capsys, argv, message):
    assert cli.main(["inspect", prefix, *argv]) == 1
    assert message in capsys.readouterr().err


def test_what_is_not_prepared_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="megatron-proxy prepare"):
        inspect(tmp_path / "nothing", "trie")


def test_a_document_that_is_not_there(prefix):
    with pytest.raises(ConfigurationError, match="there are 15"):
        inspect(prefix, "trie", document=99)
