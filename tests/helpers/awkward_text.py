"""Documents that tokenizers find awkward: what they normalise, leave out, take for their own, or cannot spell."""

from hypothesis import strategies as st

FRAGMENTS = [
    *("quick", " brown", " def", "return self", ".", "  ", "\t", "\n", "\r\n", "\0", "\u2581"),
    *("ﬁ", "É", "é", "e\u0301", "日本", "🙂", "\ud800", "<|end|>", "<unk>", "<0x41>"),
]

documents = st.binary(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)
