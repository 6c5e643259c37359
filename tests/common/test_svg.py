"""Shapes and scales as text: numbers that are the same on every machine, attributes and words that stay words."""

import pytest

from megatron_proxy.common.pages import svg
from megatron_proxy.common.pages.svg import Axis, Picture, Plot


def test_elements_are_written_out():
    assert (
        svg.text(1, 2.5, "a < b", text_anchor="end", fill=None)
        == '<text x="1" y="2.5" text-anchor="end">a &lt; b</text>'
    )
    assert svg.line([(0, 1 / 3), (2, 0.125)], "red") == (
        '<polyline points="0,0.33 2,0.13" fill="none" stroke="red" stroke-width="1"/>'
    )
    assert svg.rectangle(0, 0, 1, 2, "<title>t</title>", fill='"') == (
        '<rect x="0" y="0" width="1" height="2" fill="&quot;"><title>t</title></rect>'
    )
    ways = [svg.straight((1, 2), end, "red") for end in ((1, 5), (4, 2), (4, 5))]
    assert ways == [f'<path d="M1 2{way}" stroke="red"/>' for way in ("V5", "H4", "L4 5")]


@pytest.mark.parametrize(("span", "step"), [(1.0, 0.2), (1.3, 0.5), (3.1, 1.0), (9.9, 2.0), (0.02, 0.005)])
def test_steps_are_round(span, step):
    assert svg.round_step(span) == pytest.approx(step)


def test_ticks():
    assert Axis(0, 1, False, 0, 10).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert Axis(0, 1, False, 0, 10).ticks(0.5) == [0, 0.5, 1]
    assert Axis(3, 2000, True, 0, 10).ticks() == [10, 100, 1000]


def test_a_plot_around_its_axes():
    plot = Plot(Axis(0, 2, False, 50, 150), Axis(0, 1, False, 110, 10), "black", "grey", numbers={"fill": "blue"})
    assert plot.at(1, 0.25) == (100, 85)
    assert plot.corner() == '<path d="M50 10V110H150" fill="none" stroke="black"/>'
    assert list(plot.rows([0.5])) == [
        '<path d="M50 60H150" stroke="grey"/>',
        '<text x="44" y="64" fill="blue" text-anchor="end">0.5</text>',
    ]
    assert list(plot.columns([2])) == ['<path d="M150 110V10" stroke="grey"/>']
    assert list(plot.numbers_below([2])) == [
        '<path d="M150 110V114" stroke="black"/>',
        '<text x="150" y="126" fill="blue" text-anchor="middle">2</text>',
    ]
    assert plot.name_below("x") == '<text x="100" y="146" text-anchor="middle">x</text>'
    assert plot.name_beside("y") == '<text x="6" y="60" text-anchor="middle" transform="rotate(-90 6 60)">y</text>'


def test_a_picture_in_a_page_and_alone():
    picture = Picture(10, 20, "a & b")
    picture.add("<g/>", "<g/>")
    assert picture.inline() == '<svg viewBox="0 0 10 20" role="img" aria-label="a &amp; b"><g/><g/></svg>'
    assert picture.alone(style="text {}", color="#222") == (
        '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="20" viewBox="0 0 10 20" color="#222">\n'
        '<title>a &amp; b</title>\n<style>text {}</style>\n<rect x="0" y="0" width="10" height="20" fill="#fff"/>\n'
        "<g/>\n<g/>\n</svg>\n"
    )
