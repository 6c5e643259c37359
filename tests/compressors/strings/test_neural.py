"""``neural``: training (deterministic, resumable, stops early), compiling by hand, no torch to encode."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from megatron_proxy import cli
from megatron_proxy.compressors.byte_lm import training
from megatron_proxy.compressors.byte_lm.network import Shape
from megatron_proxy.compressors.byte_lm.predict import CountPredictor, MixedPredictor, quantised
from megatron_proxy.compressors.byte_lm.training import Sample, TrainingSettings, train
from megatron_proxy.compressors.segments.segmenter import Segmenter, SegmentKind
from megatron_proxy.compressors.strings import neural_options
from megatron_proxy.compressors.strings.enumerate_strings import compile_most_probable, compile_windows, entropy, split
from megatron_proxy.compressors.strings.longest_match import TRIE_FILE, segmented
from megatron_proxy.compressors.strings.neural import NeuralCompressor
from megatron_proxy.data.prepare.recipe import load
from megatron_proxy.errors import CompressorError

CORPUS = [b"the cat sat on the mat and the dog sat on the log\n" * 4, b"", "żółć, żółw\n".encode() * 4]
TINY = {"counts": 0.0, "size": 8, "context": 6, "batch": 8, "steps": 6, "symbols": 40}


def options_with(kind, **given_options):
    options = {name.replace("_", "-"): value for name, value in given_options.items()}
    return kind.all_options(options)


def build(documents=CORPUS, **given_options):
    return NeuralCompressor.build(options_with(NeuralCompressor, **(TINY | given_options)), lambda: iter(documents))


def counts_of(*segments):
    data = np.frombuffer(b"".join(segments), np.uint8)
    ends = np.cumsum([len(segment) for segment in segments])
    return CountPredictor(data, ends, np.arange(len(data), dtype=np.int32))


@pytest.fixture(scope="module")
def trained():
    return build()


def test_frequencies_fill_their_range():
    frequencies = quantised(np.eye(256)[[65]])
    assert frequencies[0, 65] == 2**20 - 256 + 1
    assert frequencies[0, 66] == 1
    assert frequencies.sum() == 2**20
    assert quantised(np.full((1, 256), 1 / 256)).tolist() == [[4096] * 256]


def test_counts_predict_what_followed():
    predictor = counts_of(b"abac", b"ab")
    first = predictor.frequencies()
    assert first.shape == (1, 256)
    assert first[0, ord("a")] == int(3 / 6 * (2**20 - 256)) + 1
    predictor.descend(np.array([0, 0]), np.frombuffer(b"ab", np.uint8))
    after_a, after_b = predictor.frequencies()
    assert after_a[ord("b")] == int(2 / 3 * (2**20 - 256)) + 1
    assert after_a[ord("c")] == int(1 / 3 * (2**20 - 256)) + 1
    # Of the two "b", one ends its segment.
    assert after_b[ord("a")] == 2**20 - 256 + 1
    predictor.descend(np.array([1]), np.frombuffer(b"z", np.uint8))
    assert predictor.frequencies().tolist() == [[4096] * 256]
    predictor.start()
    assert predictor.frequencies().tolist() == first.tolist()


def test_a_mixture_is_the_weighted_mean():
    one, other = counts_of(b"aa"), counts_of(b"bb")
    mixed = MixedPredictor(one, other, 0.25).frequencies()[0]
    assert mixed[ord("a")] == (250 * (2**20 - 255) + 750) // 1000
    assert mixed[ord("b")] == (750 * (2**20 - 255) + 250) // 1000
    assert mixed[0] == 1
    assert mixed.sum() <= 2**20
    assert (
        MixedPredictor(counts_of(b"ab" * 8), other, 1.0).frequencies().tolist()
        == counts_of(b"ab" * 8).frequencies().tolist()
    )


def test_a_mixture_goes_on_with_both():
    mixed = MixedPredictor(counts_of(b"abab"), counts_of(b"acac"), 0.5)
    mixed.descend(np.array([0]), np.frombuffer(b"a", np.uint8))
    (after_a,) = mixed.frequencies()
    assert after_a[ord("b")] == after_a[ord("c")] == (2**20 - 256 + 2) // 2
    mixed.start()
    assert mixed.frequencies()[0, ord("a")] == 2**19 - 128 + 1


def test_intervals_lie_side_by_side_inside_their_string():
    frequencies = np.ones((1, 256), np.int64)
    frequencies[0, 7] = 2**19
    lows, widths = split(np.array([100]), np.array([2**30]), frequencies)
    assert lows[0, 0] == 100
    assert widths[0, 7] == 2**29
    assert lows[0, 8] == lows[0, 7] + widths[0, 7]
    assert lows[0, 255] + widths[0, 255] <= 100 + 2**30


def test_compiling_finds_exactly_the_strings_that_are_wide_enough():
    compiled = compile_windows(counts_of(b"ab" * 8), 8, 10)
    # "a" and "b" alternate: every string of them has a probability of about one half.
    assert len(compiled.parents) == 18
    assert compiled.parents[:4].tolist() == [97, 98, 256, 257]
    assert bytes(compiled.labels[:4]) == b"baab"
    narrow = compile_windows(counts_of(b"ab" * 8), 1, 10)
    assert len(narrow.parents) == 0


def test_the_most_probable_strings_are_those_of_a_full_search():
    predictor = counts_of(b"the cat sat on the mat and the dog sat on the log")
    everything = compile_windows(predictor, 12, 8)
    few = compile_most_probable(predictor, 20, 8)
    widest = np.sort(everything.widths[256:])[::-1][:20]
    assert np.sort(few.widths[256:])[::-1][:20].tolist() == widest.tolist()
    assert len(few.parents) < len(everything.parents)


def test_edits_make_long_strings_less_probable():
    predictor = counts_of(b"the cat sat on the mat and the dog sat on the log" * 3)
    plain, edited = (compile_most_probable(predictor, 40, 8, edits=edits) for edits in (0.0, 0.25))
    lengths = {string: len(string) for string in spelt(plain) | spelt(edited)}
    weights = dict(zip(names(plain), plain.widths[256:], strict=True))
    for string, width in zip(names(edited), edited.widths[256:], strict=True):
        if string in weights:
            assert width == pytest.approx(weights[string] * 0.75 ** lengths[string], rel=1e-6)
    mean = lambda strings: sum(map(len, strings)) / len(strings)  # noqa: E731
    assert mean(spelt(edited)) < mean(spelt(plain))
    assert spelt(build(counts=1.0, edits=0.0).trie) != spelt(build(counts=1.0, edits=0.4).trie)
    with pytest.raises(CompressorError, match=r"0 to 0\.5"):
        build(edits=0.6)


def names(compiled):
    """The strings of two bytes and more, by number."""
    strings = [bytes([byte]) for byte in range(256)]
    for parent, label in zip(compiled.parents, compiled.labels, strict=True):
        strings.append(strings[parent] + bytes([label]))
    return strings[256:]


def spelt(compiled):
    return set(names(compiled))


def test_no_string_goes_on_over_a_border():
    assert entropy(np.full((2, 256), 4096)).tolist() == [8.0, 8.0]
    predictor = counts_of(b"xaxbxcxd" * 4)
    free = compile_windows(predictor, 8, 3)
    bordered = compile_windows(predictor, 8, 3, border=1.5)
    first_bytes = lambda compiled: {chr(parent) for parent in compiled.parents if parent < 256}  # noqa: E731
    assert first_bytes(free) == set("xabcd")
    # What comes after "x" is open, what comes after the others is not.
    assert first_bytes(bordered) == set("abcd")


def test_training_is_deterministic(trained):
    assert build().fingerprint == trained.fingerprint
    assert build(seed=1).fingerprint != trained.fingerprint
    assert trained.num_symbols == 40


def settings_for_training(steps, **others):
    small = {"shape": Shape(8, 1), "context": 8, "batch": 16, "learning_rate": 0.02, "evaluate_every": 20}
    return TrainingSettings(steps=steps, **(small | others))


def held_out_losses(lines):
    return [float(line.split("held out ")[1].split()[0]) for line in lines]


@pytest.mark.long
def test_training_learns():
    data = np.frombuffer(b"abcdefgh" * 40, np.uint8)
    lines = []
    sample = Sample(data, np.array([len(data)]), np.arange(len(data)))
    train(sample, settings_for_training(300, shape=Shape(24, 1), learning_rate=0.05, evaluate_every=100), lines.append)
    losses = held_out_losses(lines)
    assert len(losses) == 3
    # The first byte costs its 3 bits, an eighth of the windows' bytes; the others are known by then.
    assert 0.35 < losses[-1] < 0.7
    assert losses[0] > losses[-1]


def test_training_stops_when_nothing_is_gained():
    # Noise cannot be predicted: once the model has it by heart, the held-out loss rises.
    data = np.random.default_rng(0).integers(0, 256, 1 << 19, dtype=np.uint8)
    sample = Sample(data, np.array([len(data)]), np.concatenate([np.arange(64), len(data) - np.arange(64) - 9]))
    _, held_out = sample.split()
    assert len(held_out.starts) == 64
    how = settings_for_training(100_000, evaluate_every=10, patience=3)
    lines = []
    model = train(sample, how, lines.append)
    assert "3 of 3 without a lower one" in lines[-1]
    assert len(lines) < 100
    # The weights are those of the lowest loss, not the last ones.
    best = held_out_losses(lines)[-1]
    assert training._held_out_loss(model, held_out, how) == pytest.approx(best, abs=1e-3)


@pytest.mark.long
def test_an_interrupted_training_ends_the_same(tmp_path, monkeypatch):
    data = np.frombuffer(b"".join(CORPUS), np.uint8)
    sample = Sample(data, np.array([len(data)]), np.arange(len(data)))
    how = settings_for_training(100)
    whole = train(sample, how, print)
    path = tmp_path / "training"
    step, steps = training._step, []

    def interrupted(state, *arguments):
        steps.append(state.step)
        if len(steps) == 50:
            raise KeyboardInterrupt
        return step(state, *arguments)

    monkeypatch.setattr(training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(sample, how, print, path)
    resumed = train(sample, how, print, path)
    # From the last checkpoint on, not from the beginning.
    assert steps[50] == 40
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    # A training that is over is not begun again.
    train(sample, how, print, path)
    assert len(steps) == 50 + 60
    with pytest.raises(CompressorError, match="other settings or another corpus"):
        train(sample, settings_for_training(99), print, path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CompressorError, match="cannot be read"):
        train(sample, how, print, path)


def test_counts_can_stand_in_for_the_model():
    compressor = build(counts=1.0, symbols=5)
    strings = [compressor.trie.string(256 + s) for s in range(5)]
    assert b"the" in strings or b"th" in strings
    assert compressor.decode(compressor.encode(CORPUS[0])) == CORPUS[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0),
        ("context", 0),
        ("steps", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("border", 9.0),
        ("device", "no such device"),
        ("counts", 1.1),
        ("batch", 0),
    ],
)
def test_bad_options_name_their_flag(name, value):
    with pytest.raises(CompressorError, match=f"--neural-{name.replace('_', '-')}"):
        build(**{name: value})


def test_an_empty_corpus_is_refused():
    with pytest.raises(CompressorError, match="corpus is empty"):
        build([b""])


def test_encoding_needs_no_torch(trained, tmp_path):
    (tmp_path / "trie").write_bytes(trained.files()[TRIE_FILE])
    code = f"""
import sys
from megatron_proxy import cli, compressors
files = {{{TRIE_FILE!r}: open({str(tmp_path / "trie")!r}, "rb").read()}}
compressor = compressors.load("neural", {trained.config()!r}, files)
assert compressor.decode(compressor.encode(b"the cat")) == b"the cat"
compressors.get("neural-ac")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_starts_are_every_place_or_those_of_symbols(monkeypatch):
    data, ends = segmented([b"abcabcabcabc"], Segmenter(SegmentKind.LINES, 16))
    assert neural_options._starts(data, ends, 1).tolist() == list(range(12))
    monkeypatch.setattr(neural_options, "_STRINGS", (2, 8))
    # The strings "ab" and "bc": "c" is left over.
    assert neural_options._starts(data, ends, 2).tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    monkeypatch.setattr(neural_options, "_MAX_STARTS", 5)
    assert neural_options._starts(data, ends, 1).tolist() == [0, 3, 6, 9]
    assert neural_options._starts(data[:0], ends[:0], 1).tolist() == []


def test_segments_bound_what_is_learnt():
    data, ends = segmented([b"ab\ncd\n", b"", b"ef"], Segmenter(SegmentKind.LINES, 16))
    assert data.tobytes() == b"ab\ncd\nef"
    assert ends.tolist() == [6, 8]


def test_from_the_command_line(tmp_path, capsys):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text.decode()}) + "\n" for text in CORPUS))
    tiny = [f"--neural-{name}={value}" for name, value in (TINY | {"checkpoint": tmp_path / "state"}).items()]
    argv = ["train-compressor", "neural", "--input", str(corpus), "--output", str(tmp_path / "model"), *tiny]
    assert cli.main(argv) == 0
    assert "neural: step 6/6" in capsys.readouterr().err
    assert (tmp_path / "state").exists()
    made = load(tmp_path / "model.json")
    assert made.decode(made.encode(CORPUS[0])) == CORPUS[0]
    assert cli.main([*argv, "--neural-border", "9"]) == 1
    assert "--neural-border: 9.0 is not a number from 0 to 8" in capsys.readouterr().err
