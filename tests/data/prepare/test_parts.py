"""Partitions: an interrupted run goes on after the last finished one, and takes no other run's for its own."""

import pytest
from preparing import files_of, leftovers, write_corpus

from megatron_proxy.data.prepare import compressed_view


@pytest.fixture
def corpus(tmp_path):
    """The path of a corpus of twenty documents."""
    return write_corpus(tmp_path / "c.jsonl", [f"document {number}\n" for number in range(20)])


@pytest.fixture
def encoded(monkeypatch):
    """The ranges that are encoded; a number put into ``stop_after`` interrupts the run after so many."""
    seen = []
    original = compressed_view.encode

    def encode(raw, documents, *rest):
        if encode.stop_after is not None and len(seen) >= encode.stop_after:
            raise KeyboardInterrupt
        seen.append(documents)
        original(raw, documents, *rest)

    encode.stop_after = None
    encode.seen = seen
    monkeypatch.setattr(compressed_view, "encode", encode)
    return encode


def interrupt(run, corpus, encoded, after, **settings):
    encoded.seen.clear()
    encoded.stop_after = after
    with pytest.raises(KeyboardInterrupt):
        run(corpus, partitions=4, **settings)
    encoded.stop_after = None
    encoded.seen.clear()


def parts_of(folder):
    return {name.split(".part-")[1][:4] for name in leftovers(folder) if ".part-" in name}


def test_finished_partitions_are_kept_and_not_made_again(tmp_path, corpus, run, encoded):
    run(corpus, prefix="whole")
    interrupt(run, corpus, encoded, after=2)
    assert parts_of(tmp_path) == {"0000", "0001"}
    assert not [name for name in files_of(tmp_path) if "toy" in name]
    run(corpus, partitions=4)
    assert encoded.seen == [(10, 15), (15, 20)]
    assert files_of(tmp_path) == files_of(tmp_path, "whole")
    assert leftovers(tmp_path) == []


def test_partitions_of_another_compressor_are_made_again(tmp_path, corpus, run, encoded):
    run(corpus, prefix="whole", options={"shift": 9})
    interrupt(run, corpus, encoded, after=3)
    run(corpus, partitions=4, options={"shift": 9})
    assert encoded.seen == [(0, 5), (5, 10), (10, 15), (15, 20)]
    assert files_of(tmp_path) == files_of(tmp_path, "whole")


def test_partitions_of_another_corpus_are_made_again(tmp_path, corpus, run, encoded):
    other = write_corpus(tmp_path / "other.jsonl", [f"Document {number}\n" for number in range(20)])
    run(other, prefix="whole")
    interrupt(run, corpus, encoded, after=3)
    run(other, partitions=4, overwrite=True)
    assert encoded.seen == [(0, 5), (5, 10), (10, 15), (15, 20)]
    assert files_of(tmp_path) == files_of(tmp_path, "whole")


@pytest.mark.parametrize("ending", ["toy_document.bin", "toy_spans.idx", "manifest.json"])
def test_a_truncated_partition_is_made_again(tmp_path, corpus, run, encoded, ending):
    run(corpus, prefix="whole")
    interrupt(run, corpus, encoded, after=2)
    path = tmp_path / f".p.toy.part-0001-of-0004_{ending}"
    path.write_bytes(path.read_bytes()[:-3])
    run(corpus, partitions=4)
    assert encoded.seen == [(5, 10), (10, 15), (15, 20)]
    assert files_of(tmp_path) == files_of(tmp_path, "whole")


def test_other_partitions_or_none_clear_the_old_ones_away(tmp_path, corpus, run, encoded):
    run(corpus, prefix="whole")
    for partitions in (1, 3):
        interrupt(run, corpus, encoded, after=2, prefix=f"p{partitions}")
        run(corpus, partitions=partitions, prefix=f"p{partitions}")
        assert files_of(tmp_path, f"p{partitions}") == files_of(tmp_path, "whole")
        assert leftovers(tmp_path) == []
