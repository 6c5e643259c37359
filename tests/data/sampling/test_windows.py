"""Windows against written-out ids, and against an independent, slow description of the stream."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_views import spans_of, view_of

from megatron_proxy.common import rng
from megatron_proxy.common.rng import Purpose
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec
from megatron_proxy.data.sampling.planner import build
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.data.sampling.windows import Windows
from megatron_proxy.errors import ConfigurationError, DatasetError
from megatron_proxy.vocab import Vocabulary

EOS, R, R_, C, C_ = 2, 12, 13, 14, 15


class Corpus:
    """Documents as lists of spans, each (bytes, codes), and their views."""

    def __init__(self, documents, vocabulary=None):
        self.documents = documents
        self.vocabulary = vocabulary or Vocabulary(1000)
        self.raw = [b"".join(raw for raw, _ in spans) for spans in documents]
        self.codes = [[code for _, codes in spans for code in codes] for spans in documents]
        pairs = [(len(raw), len(codes)) for spans in documents for raw, codes in spans]
        self.spans = spans_of([len(spans) for spans in documents], pairs)
        self.raw_view = view_of(self.raw, np.uint8)
        self.code_view = view_of(self.codes, np.uint16)
        self.sizes = DocumentSizes(self.raw_view.sequence_lengths, self.code_view.sequence_lengths, self.spans)

    def windows(self, spec):
        return Windows(build(spec, self.sizes), self.raw_view, self.code_view, self.vocabulary, self.spans)


# --- the slow description: lists of (id, bytes read in the raw view, source bytes read in the compressed view) ---


def special(id_):
    return [(id_, 0, 0)]


def raw_part(raw):
    return [(64 + byte, 1, 0) for byte in raw]


def code_part(corpus, raw, codes):
    """Codes with the source bytes they stand for: evenly spread, rounded down, exact in total."""
    shares = [len(raw) * i // len(codes) for i in range(len(codes) + 1)] if codes else [0]
    offset = corpus.vocabulary.code_offset
    return [(code + offset, 0, b - a) for code, (a, b) in zip(codes, itertools.pairwise(shares), strict=True)]


def draw_of(corpus, document, seed, draw, rate, mode):
    """One draw, straight from the definitions."""
    raw = raw_part(corpus.raw[document])
    codes = code_part(corpus, corpus.raw[document], corpus.codes[document])
    chance = rng.uniform(rng.key(seed, Purpose.DRAW_FORMAT), [draw])[0]
    as_raw = special(R) + raw + special(R_)
    as_codes = special(C) + codes + special(C_)
    if mode == "interleaved":
        return interleaved(corpus, document, seed, draw, rate)
    if mode == "vanilla":
        return (codes if chance < rate else raw) + special(EOS)
    if mode == "sentinel":
        return (as_codes if chance < rate else as_raw) + special(EOS)
    if rate > 0.5 and chance < 2 - 1 / rate:
        return as_codes + special(EOS)
    if rate <= 0.5 and not chance < rate / (1 - rate):
        return as_raw + special(EOS)
    kind, _, order = mode.partition("_")
    if order == "random":
        order = "raw" if rng.uniform(rng.key(seed, Purpose.PAIR_ORDER), [draw])[0] < 0.5 else "compressed"
    first, second = (as_raw, as_codes) if order.startswith("raw") else (as_codes, as_raw)
    return first + (special(EOS) if kind == "parallel" else []) + second + special(EOS)


def interleaved(corpus, document, seed, draw, rate):
    spans = []
    for number, (raw, codes) in enumerate(corpus.documents[document]):
        compressed = rng.uniform(rng.key(seed, Purpose.SPAN_FORMAT, draw), [number])[0] < rate
        spans.append((bool(compressed), code_part(corpus, raw, codes) if compressed else raw_part(raw)))
    ids = []
    for compressed, run in itertools.groupby(spans, key=lambda span: span[0]):
        ids += special(C if compressed else R)
        ids += [id_ for _, part in run for id_ in part]
        ids += special(C_ if compressed else R_)
    return ids + special(EOS)


def shuffled(size, *key):
    values = rng.bits(rng.key(*key), np.arange(size)).tolist()
    return sorted(range(size), key=lambda i: (values[i], i))


def stream_of(corpus, spec):
    """The stream, and for each of its ids whether the draw is vanilla and where in its draw the id stands."""
    documents, stream, places = len(spec.documents), [], []
    needed = None if spec.num_windows is None else spec.num_windows * spec.seq_length
    order = []
    for draw in itertools.count():
        if draw == documents if needed is None else len(stream) >= needed:
            return stream, places
        if draw % documents == 0:
            order = shuffled(documents, spec.seed, Purpose.DOCUMENT_ORDER, draw // documents)
        ids_of_horizon = spec.horizon_samples * spec.seq_length
        step = next(step for step in spec.schedule.steps() if len(stream) < step.end * ids_of_horizon)
        document = spec.documents[order[draw % documents]]
        ids = draw_of(corpus, document, spec.seed, draw, step.rate, step.mode)
        stream += ids
        places += [(step.mode == Mode.VANILLA, offset) for offset in range(len(ids))]


def windows_of(corpus, spec):
    """All windows in the order of the stream, and the source bytes in each."""
    stream, places = stream_of(corpus, spec)
    size = spec.seq_length
    count = spec.num_windows or (len(stream) + (size - 1 if spec.keep_partial else 0)) // size
    windows, source = [], []
    for begin in range(0, count * size, size):
        part = stream[begin : begin + size]
        vanilla, offset = places[begin]
        openers = [id_ for id_, _, _ in stream[:begin] if id_ < 64]
        opener = stream[begin - 1][0] if vanilla and offset else [EOS, *openers][-1]
        windows.append([opener, *(id_ for id_, _, _ in part)] + [0] * (size - len(part)))
        source.append((sum(raw for _, raw, _ in part), sum(compressed for _, _, compressed in part)))
    return windows, source


def samples_of(corpus, spec):
    """All samples, and the source bytes read before each sample and after the last."""
    windows, source = windows_of(corpus, spec)
    block, order = spec.shuffle_block, []
    for number, begin in enumerate(range(0, len(windows), block)):
        size = min(block, len(windows) - begin)
        order += [begin + i for i in shuffled(size, spec.seed, Purpose.WINDOW_ORDER, number)]
    before = list(itertools.accumulate((source[w] for w in order), lambda a, b: (a[0] + b[0], a[1] + b[1])))
    return [windows[w] for w in order], [(0, 0), *before]


# --- written-out ids ---

THREE = Corpus([[(b"ab", [7]), (b"c", [8])], [(b"xyz", [9, 10])], []])
NAMES = {0: "_", 2: ".", 12: "<", 13: ">", 14: "[", 15: "]"}


def text(ids):
    """Ids as one string: bytes as characters, ``#code``, and . < > [ ] for eos and sentinels, _ for pad."""
    return "".join(NAMES.get(id_) or (chr(id_ - 64) if id_ < 320 else f"#{id_ - 320}") for id_ in ids)


def epoch(mode, rate, seed, size=8):
    """One epoch's windows in the order of the stream."""
    spec = PlanSpec(seed, size, Schedule.constant(rate, Mode(mode)), 1, None, range(3), block=1, keep_partial=True)
    windows = THREE.windows(spec)
    return [windows[sample].tolist() for sample in range(len(windows))]


@pytest.mark.parametrize(
    ("mode", "rate", "seed", "stream"),
    [
        ("vanilla", 0.0, 0, "xyz.abc.."),
        ("vanilla", 1.0, 0, "#9#10.#7#8.."),
        ("vanilla", 0.5, 0, "xyz.#7#8.."),
        ("sentinel", 0.0, 0, "<xyz>.<abc>.<>."),
        ("sentinel", 1.0, 0, "[#9#10].[#7#8].[]."),
        ("sentinel", 0.5, 0, "<xyz>.[#7#8].[]."),
        # Below 1/2 some documents are raw only and the others pairs; above, some are compressed only.
        ("translation_raw_compressed", 0.4, 0, "<xyz>.<abc>[#7#8].<>[]."),
        ("translation_raw_compressed", 0.8, 0, "<xyz>[#9#10].[#7#8].[]."),
        ("translation_compressed_raw", 0.4, 0, "<xyz>.[#7#8]<abc>.[]<>."),
        ("translation_compressed_raw", 0.8, 0, "[#9#10]<xyz>.[#7#8].[]."),
        ("translation_random", 0.4, 2, "<abc>.[#9#10]<xyz>.<>[]."),
        ("translation_random", 0.8, 11, "[#9#10].<abc>[#7#8].[]<>."),
        ("parallel_raw_compressed", 0.4, 0, "<xyz>.<abc>.[#7#8].<>.[]."),
        ("parallel_raw_compressed", 0.8, 0, "<xyz>.[#9#10].[#7#8].[]."),
        ("parallel_compressed_raw", 0.4, 0, "<xyz>.[#7#8].<abc>.[].<>."),
        ("parallel_compressed_raw", 0.8, 0, "[#9#10].<xyz>.[#7#8].[]."),
        ("parallel_random", 0.4, 2, "<abc>.[#9#10].<xyz>.<>.[]."),
        ("parallel_random", 0.8, 11, "[#9#10].<abc>.[#7#8].[].<>."),
        ("interleaved", 0.0, 1, "<xyz>..<abc>."),
        ("interleaved", 1.0, 1, "[#9#10]..[#7#8]."),
        ("interleaved", 0.5, 1, "[#9#10]..<ab>[#8]."),
    ],
)
def test_the_stream_of_three_documents(mode, rate, seed, stream):
    targets = [id_ for window in epoch(mode, rate, seed) for id_ in window[1:]]
    assert text(targets).rstrip("_") == stream


@pytest.mark.parametrize(
    ("mode", "rate", "windows"),
    [
        # What was open is opened again; a window that begins with eos has the sentinel closed before it as opener.
        ("sentinel", 0.5, [".<xyz>.[]", "].[#7#8].__"]),
        ("translation_raw_compressed", 0.5, [".<xyz>[#9#10", "[].<>[].<", "<abc>[#7#8]", "]._______"]),
        ("translation_compressed_raw", 0.5, [".[#9#10]<xyz", "<>.[]<>.[", "[#7#8]<abc>", ">._______"]),
        ("parallel_raw_compressed", 0.5, [".<xyz>.[#9", "[#10].<>.[]", "].<abc>.[", "[#7#8].____"]),
        ("interleaved", 0.5, [".[#9#10]..<a", "<b>[#8].__"]),
        # Nothing to open again: the opener is the id before.
        ("vanilla", 0.0, [".xyz..abc", "c._______"]),
    ],
)
def test_windows_begin_with_what_is_open(mode, rate, windows):
    assert [text(window) for window in epoch(mode, rate, seed=1)] == windows


# --- against the slow description ---

spans = st.integers(1, 8).flatmap(
    lambda size: st.tuples(
        st.binary(min_size=size, max_size=size), st.lists(st.integers(0, 999), min_size=1, max_size=size)
    )
)
corpora = st.lists(st.lists(spans, max_size=4), min_size=1, max_size=5).map(Corpus)
rates = st.sampled_from([0.0, 0.1, 0.5, 0.7, 0.9, 1.0])
modes = st.sampled_from(list(Mode))
schedules = st.builds(
    Schedule,
    rates,
    rates,
    rates,
    warmup=st.just(0.3),
    steady=st.just(0.4),
    decay=st.just(0.2),
    warmup_mode=modes,
    steady_mode=modes,
    final_mode=modes,
)


def specs(documents):
    return st.builds(
        PlanSpec,
        seed=st.integers(0, 2**32),
        seq_length=st.integers(8, 30),
        schedule=schedules,
        horizon_samples=st.integers(1, 20),
        num_samples=st.none() | st.integers(1, 20),
        documents=st.integers(0, documents - 1).map(lambda start: range(start, documents)),
        block=st.none() | st.integers(1, 6),
        keep_partial=st.booleans(),
    )


@pytest.mark.long
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_windows_are_the_stream(data):
    corpus = data.draw(corpora)
    spec = data.draw(specs(len(corpus.documents)))
    expected, source = samples_of(corpus, spec)
    if not expected:
        with pytest.raises(DatasetError, match="less than one sample"):
            corpus.windows(spec)
        return
    windows = corpus.windows(spec)
    assert [windows[sample].tolist() for sample in range(len(windows))] == expected
    assert windows.plan.source_bytes.tolist() == [list(before) for before in source]


@pytest.mark.parametrize("mode", [mode for mode in Mode if "_" in mode])
def test_one_epoch_of_pairs_holds_every_byte_and_symbol_once(mode):
    generator = np.random.default_rng(1)
    corpus = Corpus([[(generator.bytes(size), [3] * (size // 3 + 1))] for size in range(60)])
    spec = PlanSpec(4, 64, Schedule.constant(0.5, mode), 1, None, range(60), keep_partial=True)
    windows = corpus.windows(spec)
    targets = np.concatenate([windows[sample][1:] for sample in range(len(windows))])
    found = np.bincount(targets, minlength=1320)
    expected = np.bincount(np.frombuffer(b"".join(corpus.raw), np.uint8), minlength=256)
    assert (found[64:320] == expected).all()
    assert found[320 + 3] == found[320:].sum() == sum(map(len, corpus.codes))
    assert found[[R, R_, C, C_]].tolist() == [60] * 4
    assert windows.plan.source_bytes_after(len(windows)) == (sum(map(len, corpus.raw)),) * 2


def test_interleaved_windows_across_steps_of_the_schedule():
    """Rates that change within a window, and another mode in between."""
    generator = np.random.default_rng(3)
    sizes = generator.integers(1, 9, (40, 4)).tolist()
    corpus = Corpus([[(generator.bytes(size), [size] * (size // 2 + 1)) for size in four] for four in sizes])
    schedule = Schedule(
        0.1,
        0.9,
        0.0,
        0.6,
        0.1,
        0.2,
        warmup_mode=Mode.INTERLEAVED,
        steady_mode=Mode.SENTINEL,
        final_mode=Mode.INTERLEAVED,
    )
    spec = PlanSpec(5, 80, schedule, 16, 20, range(40))
    windows = corpus.windows(spec)
    assert len(set(windows.plan.step_draws.tolist())) > 40
    expected, _ = samples_of(corpus, spec)
    assert [windows[sample].tolist() for sample in range(len(windows))] == expected


def test_literal_bytes_share_the_ids_of_raw_bytes():
    corpus = Corpus([[(b"abcdef", [ord("a"), 256 + 3, ord("f")])]], Vocabulary(10, literals=True))
    spec = PlanSpec(0, 8, Schedule.constant(1.0, Mode.SENTINEL), 1, None, range(1), keep_partial=True)
    assert text(corpus.windows(spec)[0].tolist()) == ".[a#3f].__"


def test_interleaved_draws_need_spans():
    plan = build(PlanSpec(0, 8, Schedule.constant(0.5, Mode.INTERLEAVED), 1, 1, range(3)), THREE.sizes)
    with pytest.raises(ConfigurationError, match="needs a compressor that encodes documents in spans"):
        Windows(plan, THREE.raw_view, THREE.code_view, THREE.vocabulary)


@pytest.mark.parametrize("mode", [Mode.SENTINEL, Mode.INTERLEAVED])
@pytest.mark.parametrize("damage", [-7, 100, 2**63 - 1])
def test_an_index_that_points_outside_its_file_is_found(mode, damage):
    raw = view_of(THREE.raw, np.uint8)
    plan = build(PlanSpec(0, 8, Schedule.constant(0.0, mode), 1, 1, range(3)), THREE.sizes)
    raw.sequence_pointers = np.full(3, damage)
    with pytest.raises(DatasetError, match=r"lies outside the \.bin file"):
        Windows(plan, raw, THREE.code_view, THREE.vocabulary, THREE.spans)[0]
