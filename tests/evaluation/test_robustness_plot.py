"""The picture: bars as long as their values, told by name, in files that can be opened."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("torch")

from megatron_proxy import cli
from megatron_proxy.errors import ConfigurationError
from megatron_proxy.evaluation import robustness_plot

SVG = "{http://www.w3.org/2000/svg}"


def row(bpb_added: float, accuracy_lost: float) -> dict[str, float]:
    return {"bpb": 2.0 + bpb_added, "bpb_added": bpb_added, "accuracy": 0.5, "accuracy_lost": accuracy_lost}


FOUND = {"clean": row(0, 0), "case": row(0.2, 0.01), "typos <&": row(-0.1, 0.0), "whitespace": row(0.1, -1e-9)}


def bars(tree):
    """Begin and end of each bar, in order."""
    found = [rect for rect in tree.iter(f"{SVG}rect") if rect.get("fill") == robustness_plot._COLOUR]
    return [(float(rect.get("x")), float(rect.get("x")) + float(rect.get("width"))) for rect in found]


def test_bars_are_as_long_as_their_values():
    tree = ElementTree.fromstring(robustness_plot.svg(FOUND))
    case, typos, spaces, *lost = bars(tree)
    assert case[0] == typos[1] == spaces[0]
    assert case[1] - case[0] == pytest.approx(2 * (spaces[1] - spaces[0]), abs=0.3)
    assert typos[1] - typos[0] == pytest.approx(spaces[1] - spaces[0], abs=0.3)
    assert [end > begin for begin, end in lost] == [True, False, False]


def test_names_values_and_the_clean_figures_are_told():
    texts = [text.text for text in ElementTree.fromstring(robustness_plot.svg(FOUND)).iter(f"{SVG}text")]
    assert texts[0] == "Behind clean prompts: 2.000 bits per byte, 50.0% of next bytes right"
    assert texts[1:4] == ["case", "typos <&", "whitespace"]
    # A difference that rounds to nothing has no sign of its own.
    assert {"+0.2000", "-0.1000", "+1.00", "+0.00"} < set(texts)
    assert "-0.00" not in texts


def test_everything_stays_on_the_page():
    tree = ElementTree.fromstring(robustness_plot.svg(FOUND))
    width, height = float(tree.get("width")), float(tree.get("height"))
    for text in tree.iter(f"{SVG}text"):
        assert 0 < float(text.get("x")) < width
        assert 0 < float(text.get("y")) < height
    assert all(0 < begin <= end < width for begin, end in bars(tree))


@pytest.mark.long
def test_files_are_written_by_their_ending(tmp_path):
    robustness_plot.save(FOUND, tmp_path / "plot.svg")
    ElementTree.parse(tmp_path / "plot.svg")
    pytest.importorskip("matplotlib")
    robustness_plot.save(FOUND, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_noise_stays_short():
    """A ten-thousandth of a bit and a byte in ten thousand: whiskers, not bars across the page."""
    found = {"clean": row(0, 0), "case": row(1e-4, 1e-4), "typos": row(-1e-4, -1e-4)}
    tree = ElementTree.fromstring(robustness_plot.svg(found))
    assert all(end - begin < 0.02 * robustness_plot._PANEL for begin, end in bars(tree))
    # Real differences fill it as before.
    found = {"clean": row(0, 0), "case": row(0.1, 0.05), "typos": row(0.09, 0.01)}
    (longest, *_) = bars(ElementTree.fromstring(robustness_plot.svg(found)))
    assert longest[1] - longest[0] == pytest.approx(robustness_plot._PANEL)


def test_nothing_but_clean_prompts_or_no_differences():
    assert "<svg" in robustness_plot.svg({"clean": row(0, 0), "case": row(0, 0)})
    assert "<svg" in robustness_plot.svg({"clean": row(0, 0)})


def test_files_that_cannot_be_drawn_are_told_first(tmp_path, monkeypatch, capsys):
    with pytest.raises(ConfigurationError, match=r"ends neither in .svg nor in .png"):
        robustness_plot.check(Path("plot.pdf"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="a PNG needs matplotlib"):
        robustness_plot.check(Path("plot.png"))
    robustness_plot.check(Path("plot.svg"))
    flags = ["--load", "nothing", "--input", "nothing.jsonl"]
    assert cli.main(["robustness", *flags, "--plot", str(tmp_path / "x.gif")]) == 1
    assert "--plot: " in capsys.readouterr().err
    assert cli.main(["robustness", *flags, "--max-documents", "-1"]) == 1
    assert "--max-documents: must be at least 1, not -1" in capsys.readouterr().err
