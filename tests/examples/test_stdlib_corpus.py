"""The corpus of the standard library: what is held out, and which stretch of it."""

import json

import pytest


@pytest.fixture
def stdlib_corpus(monkeypatch):
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    import stdlib_corpus

    return stdlib_corpus


@pytest.fixture
def library(stdlib_corpus, tmp_path, monkeypatch):
    """A standard library of forty files of ten lines of ten bytes."""
    root = tmp_path / "lib"
    root.mkdir()
    for number in range(40):
        (root / f"m{number:02}.py").write_text("".join(f"{number:02} {line:06}\n" for line in range(10)))
    monkeypatch.setattr(stdlib_corpus.sysconfig, "get_paths", lambda: {"stdlib": str(root)})
    return root


def written(folder) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    train, held_out = ((folder / f"{name}.jsonl").read_text().splitlines() for name in ("train", "held_out"))
    return [json.loads(line) for line in train], [json.loads(line) for line in held_out]


def test_every_file_is_in_one_of_both_whatever_their_order(stdlib_corpus, library, tmp_path):
    stdlib_corpus.write(tmp_path, held_out_of=4)
    sorted_ones = written(tmp_path)
    assert stdlib_corpus.write(tmp_path, shuffle=True, held_out_of=4)["documents"] == len(sorted_ones[0])
    shuffled = written(tmp_path)
    paths = [one["path"] for one in sorted_ones[0]]
    assert paths == sorted(paths)
    assert [one["path"] for one in shuffled[0]] != paths
    for one, other in zip(sorted_ones, shuffled, strict=True):
        assert sorted(map(str, one)) == sorted(map(str, other))
    assert len(sorted_ones[0]) + len(sorted_ones[1]) == 40
    assert all(stdlib_corpus.is_held_out(one["path"], 4) for one in sorted_ones[1])


def test_no_file_that_is_held_out_gives_more_than_its_stretch(stdlib_corpus, library, tmp_path):
    stdlib_corpus.write(tmp_path, held_out_of=4, held_out_bytes=35)
    train, held_out = written(tmp_path)
    assert {len(one["text"]) for one in train} == {100}
    assert {len(one["text"]) for one in held_out} == {30}
    assert all(one["text"] in (library / one["path"]).read_text() for one in held_out)
    assert len({one["text"][3:9] for one in held_out}) > 1, "all of them begin with the same line"


@pytest.mark.parametrize(
    ("text", "size", "stretches"),
    [
        ("", 10, {""}),
        ("ab\ncd\n", 100, {"ab\ncd\n"}),
        ("ab\ncd\n", 3, {"ab\n", "cd\n"}),
        ("ab\ncd\nef", 6, {"ab\ncd\n"}),
        ("ä\nö\nü\n", 6, {"ä\nö\n", "ö\nü\n"}),
        ("long line\n", 4, {""}),
    ],
)
def test_a_stretch_is_whole_lines(stdlib_corpus, text, size, stretches):
    assert {stdlib_corpus.stretch(f"{number}.py", text, size) for number in range(50)} == stretches
