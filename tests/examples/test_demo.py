"""The demo: a newcomer sees the steps while it trains, and the whole log in a file."""

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES = "".join(
    f" [2026-01-01] iteration {step:8}/     100 | consumed samples: {step} | lm loss: {9 - step / 20:.1f}E+00 |\n"
    for step in (10, 50, 100)
)


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import demo

    return demo


def command(end: int) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({LINES!r}, end=''); sys.exit({end})"]


def test_steps_are_shown_as_they_go(demo, tmp_path, capsys):
    assert demo.run(command(0), tmp_path / "log", 100) == LINES
    assert (tmp_path / "log").read_text() == LINES
    shown = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[0] for line in shown] == [
        "  training: 50 of 100 steps, lm loss 6.500",
        "  training: 100 of 100 steps, lm loss 4.000",
    ]
    assert shown[-1].endswith(", 0:00 left")


def test_other_commands_show_none(demo, tmp_path, capsys):
    assert demo.run(command(0), tmp_path / "log") == LINES
    assert capsys.readouterr().err == ""


def test_a_command_that_fails_ends_the_demo_with_its_output(demo, tmp_path):
    with pytest.raises(SystemExit, match=r"lm loss: 4.0E\+00 \|\n\nthe command above failed \(exit code 3\)"):
        demo.run(command(3), tmp_path / "log", 100)
