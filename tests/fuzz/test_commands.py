"""Command lines that nobody meant: an exit code of 0, 1 or 2, a message, and never a traceback."""

import argparse
import contextlib
import io
import json
import shutil

import pytest
from fuzzing import LONG, inputs
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy import cli

# What can be large without harm; a million workers cannot.
SMALL_ONLY = ("--workers", "--partitions", "--ray-shards")
words = st.sampled_from(
    ["c.jsonl", "*.jsonl", "empty", "folder", "p", "p_manifest.json", "missing", "text", "zstd", "gzip", "gzip,zstd",
     "0", "-1", "1", "2", "0/2", "2/2", "nan", "inf", "-inf", "1e400", "0.5", "humaneval", "", "=", "--", "-", "%",
     "@c.jsonl"]
) | st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=6)  # fmt: skip
large = st.sampled_from([str(2**31), str(2**63), str(10**25)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("commands")


def flags_of(name):
    """The flags of a command, from its parser, by how many values they take."""
    return [action for action in cli.parser_of(name)._actions if action.option_strings]


@st.composite
def arguments(draw, name):
    """Some flags with some values, and stray words."""
    found = []
    for _ in range(draw(st.integers(0, 5))):
        action = draw(st.sampled_from(flags_of(name)))
        flag = draw(st.sampled_from(action.option_strings))
        if isinstance(action, argparse._HelpAction):
            continue
        found.append(flag)
        if action.nargs != 0 and draw(st.integers(0, 9)):
            values = words if flag in SMALL_ONLY else words | large
            choices = st.sampled_from([str(choice) for choice in action.choices]) if action.choices else words
            found.append(draw(values | choices))
        if not draw(st.integers(0, 3)):
            found.append(draw(words))
    return found


# It looks at all that is installed, which takes a second each time.
SLOW = {"doctor": pytest.mark.skipif(not LONG, reason="FUZZ=long tries it")}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in cli.COMMANDS])
@inputs(20)
@given(data=st.data())
def test_any_command_line_ends_with_an_exit_code(folder, tried, name, data):
    tried(f"command line of {name}")
    shutil.rmtree(folder)
    (folder / "folder").mkdir(parents=True)
    (folder / "empty").touch()
    (folder / "c.jsonl").write_text(json.dumps({"text": "a\n", "tests": []}) + "\n")
    argv = [name, *data.draw(arguments(name))]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            code = cli.main(argv)
        except SystemExit as stopped:
            code = stopped.code
    assert code in (0, 1, 2), argv
    assert code == 0 or "error: " in err.getvalue() or name in ("verify", "doctor"), argv
