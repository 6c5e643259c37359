"""The page and its figures: structure, escaping, what is said where something lacks; and the command."""

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from megatron_proxy import cli
from megatron_proxy.common.pages.svg import Axis
from megatron_proxy.tools.report import read_run
from megatron_proxy.tools.report.chart import Look, alone, chart, spread
from megatron_proxy.tools.report.page import page
from megatron_proxy.tools.report.runs import AXES


class Outline(HTMLParser):
    """Tags, attributes and text of a page; a tag that is not closed is an error."""

    VOID = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.log"
    path.write_text(" iteration 1/ 2 | consumed samples: 4 | lm loss: 2.0E+00 |\n")
    return path


def outline_of(html: str) -> Outline:
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    return outline


def test_the_page_needs_nothing_else_and_shows_text_as_text(folder, plain):
    outline = outline_of(page([read_run(folder), read_run(plain, "a <plain> run")], "Mine & yours"))
    assert not {"script", "link", "img", "iframe"} & set(outline.tags)
    assert not [value for name, value in outline.attributes if name in ("src", "href")]
    for said in (
        "Mine & yours",
        "a <plain> run",
        "def <f>(",
        "x & �)",
        "6·(layers",
        "a <plain> run: no BPB in the log",
    ):
        assert said in outline.text
    assert outline.tags.count("figure") == 3
    headings = ["What was run", "Final figures", "Over steps", "Over FLOPs", "Over source bytes", "Generations"]
    places = [outline.text.index(heading) for heading in headings]
    assert places == sorted(places)


def test_a_page_about_a_log_without_anything(plain):
    outline = outline_of(page([read_run(plain)], "Plain"))
    assert "figure" not in outline.tags
    for said in ("no run's log has BPB", "no log tells the model's shape", "no log tells the source bytes", "None: a"):
        assert said in outline.text


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("axis", AXES)
def test_a_chart_has_both_views_and_the_schedule(folder, axis):
    drawn = chart([read_run(folder)], axis).inline()
    said = texts(drawn)
    assert {axis, "raw view: bits per source byte", "compressed view: bits per source byte", "compressed rate"} <= {
        *said
    }
    assert said.count("proxy-zstd") == 3
    assert (said.count("translation_random"), said.count("sentinel")) == (1, 1)
    assert len(re.findall("<polyline", drawn)) == 3


def test_a_chart_alone_is_whole_xml_with_its_own_background(folder):
    root = ElementTree.fromstring(alone(chart([read_run(folder)], "steps")))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("width") == "940"
    assert root.find("{*}rect").get("fill") == "#fff"


def test_points_lie_where_they_should(folder):
    drawn = chart([read_run(folder)], "steps").inline()
    schedule = re.findall(r'<polyline points="([^"]*)"', drawn)[-1].split()
    # Iterations 10 to 40 of 40 between 62 and 730 on the page; the rates 0.4 and 0.9.
    assert [float(point.split(",")[0]) for point in schedule] == [229.0, 396.0, 563.0, 730.0]
    heights = [float(point.split(",")[1]) for point in schedule]
    assert heights[0] - heights[1] == pytest.approx(0.5 * 110)


def test_runs_differ_in_more_than_colour():
    looks = [Look.of(number) for number in range(8)]
    assert len({look.dash for look in looks}) == 8
    assert len({look.mark(0, 0).replace(look.colour, "") for look in looks}) == 8


def test_modes_are_said_once_and_keep_apart(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    text = (folder / "train.log").read_text()
    (other / "train.log").write_text(text.replace("translation_random", "interleaved"))
    (tmp_path / "same.log").write_text(text)
    drawn = chart([read_run(path) for path in (folder, other, tmp_path / "same.log")], "steps").inline()
    said = texts(drawn)
    assert [said.count(mode) for mode in ("translation_random", "interleaved", "sentinel")] == [1, 1, 1]
    heights = re.findall(r'<text x="67" y="([\d.]+)">', drawn)
    assert float(heights[1]) - float(heights[0]) == 13


def test_labels_keep_apart():
    assert spread([10.0, 50.0], 0, 100) == [10.0, 50.0]
    assert spread([50.0, 10.0, 12.0], 0, 100) == [50.0, 10.0, 23.0]
    assert spread([-3.0, 2.0, 100.0], 4, 100) == [4.0, 17.0, 100.0]
    assert spread([99.0, 98.0], 0, 100) == [100.0, 87.0]
    assert spread([5.0, 5.0, 5.0], 0, 20, apart=10) == [0.0, 10.0, 20.0]
    assert spread([], 0, 10) == []


def test_large_values_on_an_axis():
    from megatron_proxy.common.pages.svg import short

    assert [short(value) for value in (0.25, 15.0, 5e12, 1e15, 2e21)] == ["0.25", "15", "5T", "1e15", "2e21"]
    assert Axis(0, 10, False, 100, 200).place(5) == 150


def test_the_command(folder, plain, tmp_path, capsys):
    out = tmp_path / "out" / "page.html"
    arguments = ["report", str(folder), str(plain), "--output", str(out), "--json", str(tmp_path / "a.json")]
    assert cli.main([*arguments, "--figures", str(tmp_path / "figures")]) == 0
    assert [line.split("/")[-1] for line in capsys.readouterr().out.splitlines()] == [
        "page.html",
        "a.json",
        "steps.svg",
        "flops.svg",
        "source-bytes.svg",
    ]
    assert [one["name"] for one in json.loads((tmp_path / "a.json").read_text())] == ["proxy-zstd", "plain"]
    assert "Runs: proxy-zstd, plain" in out.read_text()
    before = out.read_bytes()
    assert cli.main([*arguments, "--title", "Another"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert cli.main([*arguments, "--title", "Another", "--overwrite"]) == 0
    assert b"Another" in out.read_bytes()


def test_names(folder, tmp_path, capsys):
    (tmp_path / "b").mkdir()
    folder.rename(tmp_path / "b" / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.log").write_text((tmp_path / "b" / "run" / "train.log").read_text())
    runs = [str(tmp_path / "run"), str(tmp_path / "b" / "run")]
    out = tmp_path / "page.html"
    assert cli.main(["report", *runs, "--output", str(out)]) == 0
    assert f"{tmp_path.name}/run, b/run" in out.read_text()
    assert cli.main(["report", *runs, "--output", str(out), "--name", "one", "--overwrite"]) == 1
    assert "--name: 1 names for 2 runs" in capsys.readouterr().err


def test_bad_input_of_the_command(tmp_path, capsys):
    (tmp_path / "binary.log").write_bytes(b"\0\1")
    for run in ("nowhere", "binary.log", "."):
        assert cli.main(["report", str(tmp_path / run), "--output", str(tmp_path / "p.html")]) == 1
        assert "megatron-proxy: error: " in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()


def test_files_that_cannot_be_read_or_written(folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    assert cli.main(["report", str(folder), "--output", str(tmp_path / "file" / "page.html")]) == 1
    assert "--output: " in capsys.readouterr().err

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert cli.main(["report", str(folder / "train.log"), "--output", str(tmp_path / "page.html")]) == 1
    assert "train.log: cannot be read (Permission denied)" in capsys.readouterr().err


def test_what_is_no_text_does_not_keep_a_page_from_being_written(folder, tmp_path):
    # Half a pair as JSON can escape it, and a run that is called by a name that is no UTF-8.
    (folder / "more.jsonl").write_text(json.dumps({"prompt": "a\ud800b", "completion": "\udfff", "reason": "end"}))
    other = tmp_path / "\udcff.log"
    other.write_text((folder / "train.log").read_text())
    written = tmp_path / "page.html"
    command = ["report", str(folder), str(other), "--output", str(written), "--json", str(tmp_path / "figures.json")]
    assert cli.main([*command, "--figures", str(tmp_path / "figures")]) == 0
    assert "a\ufffdb" in written.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "figures.json").read_text())[1]["name"] == "\udcff"
