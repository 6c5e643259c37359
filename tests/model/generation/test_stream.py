"""The loop, on models whose next byte is known, and on random ones."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy.errors import ConfigurationError  # noqa: E402
from megatron_proxy.model.generation import Limits, Sampling, generate, stream  # noqa: E402
from megatron_proxy.model.network import Cache  # noqa: E402
from megatron_proxy.vocab import BYTE_OFFSET, COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN  # noqa: E402


class Scripted:
    """A model that writes a text: after n ids, the logits favour the text's n-th byte; then an end."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, text: bytes, context: int = 64, end: int = RAW_CLOSE) -> None:
        self.architecture = replace(random_model.LLAMA, context=context)
        # The first id read is the sentinel: after it comes the text's first byte.
        self._next = [byte + BYTE_OFFSET for byte in text] + [end]
        self.read: list[list[int]] = []

    def cache(self, rows: int, capacity: int) -> Cache:
        zeros = torch.zeros(rows, dtype=torch.int64)
        return Cache([torch.zeros(rows, 1, capacity, 1)], [torch.zeros(rows, 1, capacity, 1)], zeros, zeros)

    def extend(self, ids, cache, lengths=None, last=1):
        read = torch.full((len(ids),), ids.shape[1]) if lengths is None else lengths
        if cache is not None:
            self.read += ids.tolist()
            cache.lengths = read = cache.lengths + read
        lengths = read[:, None] - torch.arange(last - 1, -1, -1)
        logits = torch.zeros(*lengths.shape, 330)
        # A symbol and a sentinel are always the model's first choice; then the script, then an invalid byte.
        logits[..., ord("z") + BYTE_OFFSET] = 1.0
        logits[..., 325], logits[..., COMPRESSED_OPEN], logits[..., 0xFF + BYTE_OFFSET] = 9.0, 8.0, 6.0
        scripted = torch.tensor(self._next)[lengths.clamp(1, len(self._next)) - 1]
        return logits.scatter(-1, scripted[..., None], 7.0)


def one(model, prompt=b"", **limits):
    (done,) = generate(model, [prompt], Limits(**limits))
    return done


@pytest.mark.parametrize("end", [RAW_CLOSE, EOS])
def test_bytes_until_the_model_closes_the_text(end):
    model = Scripted("né!\x00".encode(), end=end)
    assert one(model) == ("né!\x00".encode(), "end")
    assert model.read[0] == [RAW_OPEN]


def test_a_prompt_is_read_behind_the_sentinel():
    model = Scripted(b"abcdef")
    assert one(model, b"abc").text == b"def"
    assert model.read[0] == [RAW_OPEN, *(byte + BYTE_OFFSET for byte in b"abc")]


def test_without_sentinels_the_text_follows_an_eos():
    model = Scripted(b"ab")
    list(stream(model, [b"a"], Limits(), sentinels=False))
    assert model.read[0] == [EOS, 97 + BYTE_OFFSET]


def test_a_limit_never_cuts_a_character():
    model = Scripted("aé😀é".encode())
    assert one(model, max_bytes=3) == ("aé".encode(), "length")
    # The emoji does not fit any more; what fits is written in its place.
    assert one(model, max_bytes=5) == ("aézz".encode(), "length")


def test_invalid_bytes_only_where_allowed():
    model = Scripted(b"\xffok\xc3(")
    assert one(model, valid_utf8=False).text == b"\xffok\xc3("
    assert one(model).text == b"zok\xc3\x80"


def test_a_prompt_may_end_inside_a_character():
    model = Scripted("😀é".encode())
    pieces = [piece for _, piece in stream(model, ["😀".encode()[:2]], Limits())]
    assert pieces == ["😀".encode()[2:], "é".encode()]


def test_pieces_are_whole_characters_and_add_up():
    text = "añ😀\ncd"
    pieces = [piece for _, piece in stream(Scripted(text.encode()), [b""], Limits())]
    assert [piece.decode() for piece in pieces] == list(text)


@pytest.mark.parametrize(
    ("stops", "text", "reason"),
    [
        ([b"\n\n"], b"ab\ncd", "stop"),
        ([b"cd", b"\ncd"], b"ab", "stop"),
        ([b"cd", b"x", b"\n\n"], b"ab\n", "stop"),
        ([b"nowhere"], b"ab\ncd\n\nef", "end"),
        ([b"a"], b"", "stop"),
    ],
)
def test_stop_strings_end_a_text_and_are_not_part_of_it(stops, text, reason):
    model = Scripted(b"ab\ncd\n\nef")
    assert one(model, stop=tuple(stops)) == (text, reason)
    shown = b"".join(piece for _, piece in stream(model, [b""], Limits(stop=tuple(stops))))
    assert shown == text


def test_a_stop_string_is_not_looked_for_in_the_prompt():
    assert one(Scripted(b"xy;z"), b"x", stop=(b"xy", b";")).text == b"y"


def test_what_could_become_a_stop_string_is_held_back():
    pieces = [piece for _, piece in stream(Scripted(b"aa#a#b"), [b""], Limits(stop=(b"#b#",)))]
    assert b"".join(pieces) == b"aa#a#b"
    assert pieces == [b"a", b"a", b"#a", b"#b"]


PROMPTS = [b"def f(", b"x", "naïve 😀".encode(), b"", b"while True:\n  ", "é".encode()[:1]]


@pytest.fixture(scope="module")
def model():
    return random_model.model(replace(random_model.LLAMA, context=24, formats=True))


@pytest.mark.long
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, seed=3), Sampling(0.8, top_k=40, top_p=0.9)])
def test_cache_batches_and_single_prompts_write_the_same(model, sampling):
    # 60 bytes, so that windows of 24 slide several times, at different steps in each row.
    limits = Limits(max_bytes=60)
    together = generate(model, PROMPTS, limits, sampling)
    assert generate(model, PROMPTS, limits, sampling, use_cache=False) == together
    for number, prompt in enumerate(PROMPTS):
        assert generate(model, [prompt], limits, sampling, first_row=number) == [together[number]]
    for prompt, done in zip(PROMPTS, together, strict=True):
        (prompt + done.text).decode()


def test_windows_that_slide_reopen_the_view():
    model = Scripted(bytes(range(65, 91)) * 2, context=16)
    one(model, max_bytes=40)
    prefills = [row for row in model.read if len(row) > 1]
    assert prefills
    assert all(row[0] == RAW_OPEN and len(row) <= 16 for row in prefills)


def test_without_sentinels_a_window_that_slides_begins_with_the_byte_before():
    model = Scripted(b"", context=16)
    written = bytes(range(65, 80))
    generate(model, [written], Limits(max_bytes=1), sentinels=False)
    assert model.read[-1] == [EOS, *(byte + BYTE_OFFSET for byte in written)]
    text = Scripted(b"abcdefghijklmnop", context=16)
    generate(text, [b""], Limits(max_bytes=17), sentinels=False)
    # 16 bytes leave no place for an eos in front: the window goes on from byte 8, opened by byte 7.
    assert text.read[-1] == [byte + BYTE_OFFSET for byte in b"hijklmnop"]


def test_a_prompt_that_does_not_fit():
    with pytest.raises(ConfigurationError, match="the prompt has 64 bytes; the model's context holds 63"):
        generate(Scripted(b"", context=64), [b"x" * 64])


def test_impossible_limits():
    with pytest.raises(ConfigurationError, match="--max-bytes: must be at least 1, not 0"):
        Limits(max_bytes=0)
    with pytest.raises(ConfigurationError, match="--stop"):
        Limits(stop=(b"",))


def test_frequencies_of_a_sampled_byte_are_the_models(model):
    """The draw through the whole loop: the first byte after a prompt, many samples of it."""
    ids = torch.tensor([[RAW_OPEN, 97 + BYTE_OFFSET]])
    logits = model.logits(ids)[0, -1, : BYTE_OFFSET + 128].numpy().copy()
    allowed = np.zeros(len(logits), dtype=bool)
    allowed[BYTE_OFFSET:] = True
    allowed[[RAW_CLOSE, EOS]] = True
    weights = np.where(allowed, np.exp(logits), 0.0)
    expected = weights / weights.sum()
    samples = generate(model, [b"a"] * 600, Limits(max_bytes=1), Sampling(1.0, seed=2))
    found = np.bincount(
        [done.text[0] + BYTE_OFFSET if done.text else RAW_CLOSE for done in samples], minlength=len(logits)
    )
    top = np.argsort(-expected)[:3]
    np.testing.assert_allclose(found[top] / 600, expected[top], atol=0.07)
