"""docs/reference.md is what the parsers say."""

import argparse

import make_reference
import pytest

from megatron_proxy import cli, compressors
from megatron_proxy.adaptor import arguments


@pytest.fixture(autouse=True)
def _everything_is_installed():
    """The page was written where all compressors can be imported."""
    for name in compressors.names():
        try:
            compressors.get(name)
        except compressors.CompressorError as error:
            pytest.skip(f"{name} cannot be imported: {error.what}")


def test_the_page_is_up_to_date():
    assert make_reference.PAGE.read_text(encoding="utf-8") == make_reference.reference(), "run `make docs`"


def test_every_command_and_flag_is_on_the_page():
    page = make_reference.reference()
    training = arguments.add_arguments(argparse.ArgumentParser(add_help=False))
    parsers = [training, *map(cli.parser_of, cli.COMMANDS)]
    for action in (action for parser in parsers for action in parser._actions):
        # Former names of flags are taken, and shown nowhere.
        shown = action.help != argparse.SUPPRESS
        for name in action.option_strings:
            assert name in ("-h", "--help") or any(f"`{name}{end}" in page for end in " `") == shown


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_flag_says_what_it_does(name):
    assert [action.option_strings for action in cli.parser_of(name)._actions if not action.help] == []


def test_markdown_shows_text_as_it_is():
    assert make_reference._escaped("<raw> | a_b *") == "\\<raw> \\| a_b \\*"
