"""The prefixes of a run: which are named where, and what Megatron's own reading would end in a traceback for."""

import json

import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import megatron_args

from megatron_proxy.adaptor.data import blends
from megatron_proxy.errors import ConfigurationError, UnsupportedError


def test_flags(tmp_path):
    assert blends.prefixes(megatron_args.parse("--data-path a")) == ["a"]
    assert blends.prefixes(megatron_args.parse("--data-path a b c")) == ["a", "b", "c"]
    assert blends.prefixes(megatron_args.parse("--data-path 0.3 a 0.7 b")) == ["a", "b"]
    args = megatron_args.parse("--train-data-path 1 a 2 b --valid-data-path a --test-data-path c")
    assert blends.prefixes(args) == ["a", "b", "a", "c"]


@pytest.fixture
def file(tmp_path):
    def write(content):
        (tmp_path / "blend").write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / "blend"

    return write


def test_files(file):
    assert blends.prefixes(megatron_args.parse(f"--data-args-path {file('0.5 a\n0.5 b\n')}")) == ["a", "b"]
    parts = {"train": ["1", "a", "2", "b"], "valid": "c", "test": None}
    args = megatron_args.parse(f"--per-split-data-args-path {file(parts)}")
    assert blends.prefixes(args) == ["a", "b", "c"]


NO_PREFIX = "no prefix is named here\n  what to do: name the prefix of a prepared dataset"
SOME = "some prefixes have a weight and others have none\n"


@pytest.mark.parametrize(
    ("flag", "content", "message"),
    [
        ("--data-args-path", "", "{}: " + NO_PREFIX),
        ("--data-args-path", "\n  \n", "{}: " + NO_PREFIX),
        ("--data-args-path", "1 a b 2", "{}: " + SOME),
        ("--per-split-data-args-path", "", "--per-split-data-args-path: '{}' cannot be read (Expecting value: line 1"),
        ("--per-split-data-args-path", [], "{}: the part 'train' is missing\n"),
        ("--per-split-data-args-path", {"train": ["a"], "test": ["b"]}, "{}: the part 'valid' is missing\n"),
        ("--per-split-data-args-path", {"train": [], "valid": ["a"], "test": None}, "{}: train: " + NO_PREFIX),
        ("--per-split-data-args-path", {"train": "", "valid": ["a"], "test": None}, "{}: train: " + NO_PREFIX),
        ("--per-split-data-args-path", {"train": ["a"], "valid": " ", "test": None}, "{}: valid: " + NO_PREFIX),
        ("--per-split-data-args-path", {"train": ["a"], "valid": 3, "test": None}, "{}: the part 'valid' is no list"),
        ("--per-split-data-args-path", {"train": [1, "a"], "valid": ["a"], "test": None}, "{}: the part 'train' is no"),
        (
            "--per-split-data-args-path",
            {"train": None, "valid": ["a"], "test": None},
            "--train-data-path: there is nothing to train on\n",
        ),
    ],
)
def test_files_with_an_empty_or_missing_part(file, flag, content, message):
    path = file(content)
    with pytest.raises(ConfigurationError) as error:
        blends.prefixes(megatron_args.parse(f"{flag} {path}"))
    assert str(error.value).startswith(message.format(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match=r"^--data-args-path: '.*none' cannot be read \(No such file or"):
        blends.prefixes(megatron_args.parse(f"--data-args-path {tmp_path / 'none'}"))


def test_lists_on_the_command_line():
    with pytest.raises(ConfigurationError, match=r"^--data-path: no prefix is named here"):
        blends.prefixes(megatron_args.parse("--data-path"))
    with pytest.raises(ConfigurationError, match=r"^--valid-data-path: some prefixes have a weight"):
        blends.prefixes(megatron_args.parse("--train-data-path a --valid-data-path 1 a b c"))
    with pytest.raises(ConfigurationError, match=r"^--train-data-path: there is nothing to train on\n"):
        blends.prefixes(megatron_args.parse("--valid-data-path a"))
    assert blends.prefixes(megatron_args.parse("--valid-data-path a --skip-train")) == ["a"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--data-path a", None),
        ("--data-path a --full-validation", "Megatron does not evaluate one set in full"),
        ("--data-path a --full-validation --multiple-validation-sets", "Megatron does not evaluate a test set"),
        ("--data-path a --full-validation --multiple-validation-sets --split 98,2,0", None),
        ("--data-path a --full-validation --multiple-validation-sets --split 98,2", None),
        ("--train-data-path a --valid-data-path b c --full-validation --multiple-validation-sets", None),
        (
            "--train-data-path a --valid-data-path b --test-data-path c --full-validation --multiple-validation-sets",
            "Megatron does not evaluate a test set",
        ),
    ],
)
def test_full_validation(flags, message):
    args = megatron_args.parse(flags)
    if message is None:
        blends.prefixes(args)
    else:
        with pytest.raises(UnsupportedError, match=f"^--full-validation: {message}"):
            blends.prefixes(args)


def test_without_split_megatron_tests_on_a_part():
    args = megatron_args.parse("--data-path a --full-validation --multiple-validation-sets")
    args.split = None
    with pytest.raises(UnsupportedError, match="test set"):
        blends.prefixes(args)
