"""A dataclass of settings: flags, what they may be, the configuration and the way back."""

from dataclasses import dataclass, replace
from typing import Annotated

import pytest

from megatron_proxy import compressors
from megatron_proxy.compressors.base import Option
from megatron_proxy.compressors.options import MADE, Options, Setting
from megatron_proxy.errors import CompressorError


@dataclass(frozen=True)
class Base(Options):
    share: Annotated[float, Setting("a share", 0.0, 1.0)] = 0.5
    state_file: Annotated[str | None, Setting("a file")] = None


@dataclass(frozen=True)
class Own(Base):
    level: Annotated[int, Setting("a level", 1, 9, stored=True)] = 3
    form: Annotated[str, Setting("a form", choices=("a", "b"), stored=True)] = "a"
    probe: Annotated[str, MADE] = ""


GIVEN = {"level": 9, "form": "b", "share": 1, "state-file": None}


def test_flags_are_in_order_its_own_first_and_without_what_is_made():
    assert Own.flags() == (
        Option("level", int, 3, "a level"),
        Option("form", str, "a", "a form", ("a", "b")),
        Option("share", float, 0.5, "a share"),
        Option("state-file", str, None, "a file"),
    )


def test_what_is_given_is_taken():
    own = Own.given(GIVEN, "own")
    assert own == Own(share=1.0, level=9, form="b")
    assert isinstance(own.share, float)
    assert Own.given(GIVEN | {"state-file": "x"}, "own").state_file == "x"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("level", 10, "10 is not a whole number from 1 to 9"),
        ("level", 1.0, "1.0 is not a whole number from 1 to 9"),
        ("level", True, "True is not a whole number from 1 to 9"),
        ("level", None, "None is not a whole number from 1 to 9"),
        ("share", 1.5, "1.5 is not a number from 0 to 1"),
        ("share", float("nan"), "nan is not a number from 0 to 1"),
        ("form", "c", "'c' is none of a, b"),
        ("form", ["a"], "['a'] is none of a, b"),
        ("state-file", 3, "3 is not of the type str"),
    ],
)
def test_what_is_not_possible_names_its_flag(option, value, message):
    with pytest.raises(CompressorError) as caught:
        Own.given(GIVEN | {option: value}, "own")
    assert str(caught.value) == f"--own-{option}: {message}"


def test_the_configuration_and_the_way_back():
    own = replace(Own.given(GIVEN, "own"), probe="abc")
    assert own.stored() == {"level": 9, "form": "b", "probe": "abc"}
    assert Own.restored(own.stored()) == Own(level=9, form="b", probe="abc")


DAMAGED = [
    ("gzip", "level", 10, "10 is not a whole number from 1 to 9"),
    ("hf", "split", "sometimes", "'sometimes' is none of none, lines, tokens"),
    ("neural", "ends", None, "None is none of anywhere, words"),
    ("neural", "ends", "nowhere", "'nowhere' is none of anywhere, words"),
    ("neural-ac", "bits", 9, "9 is none of 8, 12, 16"),
    ("sentencepiece", "symbols", None, "None is none of ids, bytes, gray"),
    ("tiktoken", "pattern", 3, "3 is not of the type str"),
    ("trie", "segmenter", [], "[] is not of the type dict"),
    ("zstd", "level", "12", "'12' is not a whole number from -100 to 22"),
    ("zstd", "dictionary", "stolen", "'stolen' is none of trained, raw, none"),
]


def test_a_damaged_configuration_is_no_flag_of_the_users(small):
    for name, key, value, why in DAMAGED:
        made = small(name)
        with pytest.raises(CompressorError) as caught:
            compressors.load(name, made.config() | {key: value}, made.files(), "p_manifest.json")
        what = f"the compressor's configuration has no usable {key!r}: {why}"
        assert str(caught.value) == f"p_manifest.json: {what}", name
    with pytest.raises(CompressorError, match=r"^the compressor's configuration has no usable 'bits': 25 is"):
        compressors.load("imported", {"bits": 25, "window_bits": 16, "key": "k"}, {})


def test_imported_views_of_early_releases_do_not_tell_their_window():
    assert compressors.load("imported", {"bits": None, "key": "k"}, {}).config() == {
        "bits": None,
        "window_bits": 16,
        "key": "k",
    }
