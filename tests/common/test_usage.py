"""What is wrong with a command line: two lines, exit code 2, the word that was meant."""

import argparse

import pytest

from megatron_proxy import cli
from megatron_proxy.common import usage


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--inptu", "--input"),
        ("--INPUT", "--input"),
        ("-input", "--input"),
        ("input", "--input"),
        ("--max", "--max-documents"),
        ("--max_documents", "--max-documents"),
        ("--ma", None),
        ("--nothing", None),
        ("-1", None),
        ("", None),
    ],
)
def test_the_closest_word(word, meant):
    assert usage.closest(word, ["--output", "--input", "--max-documents", "-h"]) == meant


def test_a_question_in_a_message():
    assert usage.did_you_mean("zsdt", ["gzip", "zstd"]) == "did you mean 'zstd'? "
    assert usage.did_you_mean("x", ["gzip", "zstd"]) == ""


PREPARE = "usage: megatron-proxy prepare [options]\nmegatron-proxy prepare: error: "
TOP = "usage: megatron-proxy [-h] [--version] COMMAND ...\nmegatron-proxy: error: "


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prepar", f"{TOP}no command is called 'prepar'; did you mean 'prepare'?"),
        ("frobnicate", f"{TOP}no command is called 'frobnicate'; 'megatron-proxy --help' lists the commands"),
        ("--versoin", f"{TOP}a command comes first, not --versoin; did you mean '--version'?"),
        ("--workers 2 prepare", f"{TOP}a command comes first, not --workers"),
        ("prepare --output-prefix p --inptu=c", f"{PREPARE}unrecognized arguments: --inptu=c; did you mean '--input'?"),
        (
            "prepare --inptu c --output_prefix p",
            f"{PREPARE}the following arguments are required: --output-prefix; "
            "did you mean '--input' by '--inptu', '--output-prefix' by '--output_prefix'?",
        ),
        ("prepare --output-prefix", f"{PREPARE}argument --output-prefix: expected one argument"),
        ("prepare --output-prefix p c.jsonl", f"{PREPARE}unrecognized arguments: c.jsonl"),
        ("prepare --output-prefix p --zstd-lvel 3",
         f"{PREPARE}unrecognized arguments: --zstd-lvel 3; did you mean '--zstd-level'?"),
        ("verify", "usage: megatron-proxy verify [options] PREFIX\n"
                   "megatron-proxy verify: error: the following arguments are required: PREFIX"),
    ],
)  # fmt: skip
def test_two_lines_and_exit_code_2(line, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(line.split())
    out, err = capsys.readouterr()
    assert (stopped.value.code, out, err) == (2, "", f"{message}\n")


@pytest.mark.parametrize("line", ["evaluate --load c --input x --view rwa", "evaluate --load c --input x --view=rwa"])
def test_a_choice(line, capsys):
    with pytest.raises(SystemExit):
        cli.main(line.split())
    first, second = capsys.readouterr().err.splitlines()
    assert first == "usage: megatron-proxy evaluate [options]"
    # How argparse lists the choices depends on Python's version.
    assert second.startswith("megatron-proxy evaluate: error: argument --view: invalid choice: 'rwa' (choose from ")
    assert second.endswith("; did you mean 'raw'?")


def test_numbers_may_be_choices():
    parser = argparse.ArgumentParser()
    parser.add_argument("--order", type=int, choices=(1000, 2000))
    assert usage.explained(parser, ["--order", "100"], "wrong") == "wrong; did you mean '1000' by '100'?"
    assert usage.explained(parser, ["--order", "1000"], "wrong") == "wrong"
