"""What llama.cpp makes of a GGUF export: ids, probabilities, and what a client of its server sees."""

import json
import urllib.request
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gguf")
xllamacpp = pytest.importorskip("xllamacpp")

import random_model  # noqa: E402

from megatron_proxy.model.gguf import export  # noqa: E402
from megatron_proxy.model.hf import families  # noqa: E402
from megatron_proxy.model.hf.hf_weights import HfWeights  # noqa: E402
from megatron_proxy.model.hf.shape import config  # noqa: E402
from megatron_proxy.model.hf.views import raw_view  # noqa: E402
from megatron_proxy.model.network.architecture import Rope  # noqa: E402
from megatron_proxy.vocab import RAW_OPEN  # noqa: E402

pytestmark = pytest.mark.slow

SHAPES = {
    "plain": replace(random_model.LLAMA, context=256),
    "tied": replace(random_model.LLAMA, context=256, tied=True),
    "biases and formats": replace(random_model.LLAMA, context=256, linear_bias=True, qkv_bias=True, formats=True),
    "biases of queries, keys and values": replace(random_model.LLAMA, context=256, qkv_bias=True),
    "llama 3 positions": replace(random_model.LLAMA, context=256, rope=Rope(8, 500000.0, stretch=8.0)),
}


class Served:
    """A model in llama.cpp's server."""

    def __init__(self, folder, shape, dtype=torch.float32):
        export(random_model.checkpoint(shape), folder, dtype=dtype)
        settings = xllamacpp.CommonParams()
        settings.model.path = str(folder / "model.gguf")
        settings.warmup, settings.n_parallel, settings.verbosity = False, 1, 0
        # By default it keeps keys and values in half precision, which costs some thousandths of a nat.
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._server = xllamacpp.Server(settings)

    def _post(self, path, body):
        request = urllib.request.Request(
            self._server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def ask(self, path, **body):
        return json.loads(self._post(path, body))

    def streamed(self, path, **body):
        lines = self._post(path, {**body, "stream": True}).split(b"\n")
        events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
        return [choice["text"] for event in events for choice in event["choices"]]

    def ids(self, text):
        return self.ask("/tokenize", content=text, add_special=True, parse_special=False)["tokens"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    return Served(tmp_path_factory.mktemp("served") / "gguf", SHAPES["plain"])


TEXTS = ["", " ", "  two  spaces ", "a\0b", "\t\r\n", "é😀\u0300 <raw></raw><0x41>", "".join(map(chr, range(256)))]


@pytest.mark.parametrize("text", TEXTS)
def test_every_byte_is_one_id(served, text):
    assert served.ids(text) == [RAW_OPEN, *(byte + 64 for byte in text.encode())]


def test_a_lower_eighth_block_is_read_as_a_space(served):
    assert served.ids("a▁b") == served.ids("a b")


def transformers_model(shape):
    transformers = pytest.importorskip("transformers")
    # It finds a context shorter than what Llama 3 was stretched from odd.
    transformers.logging.set_verbosity_error()
    family, view = families.of_shape(shape), raw_view(True)
    made = HfWeights(random_model.tensors(shape), shape, family, view, torch.float32)
    settings = config(shape, family, torch.float32, vocabulary=view.size, tied=made.tied, special=view.special)
    model = getattr(transformers, family.class_name)(transformers.AutoConfig.for_model(**settings))
    missing, unexpected = model.load_state_dict(dict(made), strict=False)
    assert set(missing) <= {"lm_head.weight"}
    assert unexpected == []
    model.tie_weights()
    return model.eval()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_probabilities_are_those_of_transformers(tmp_path, shape):
    served, model = Served(tmp_path / "gguf", shape), transformers_model(shape)
    text = "def f(x):\n    return 'é  😀'\0" * 3
    ids = torch.tensor([served.ids(text)])
    expected = torch.log_softmax(model(ids).logits[0, -1].double(), dim=0)
    # It tells probabilities of what can be shown: an "a", which is what is forced; they are those before forcing.
    forced = {"n_predict": 1, "temperature": 0, "logit_bias": [[64 + ord("a"), 100]]}
    answer = served.ask("/completion", prompt=text, n_probs=320, **forced)
    (found,) = answer["completion_probabilities"]
    logprobs = {one["id"]: one["logprob"] for one in found["top_logprobs"]}
    assert len(logprobs) == 320
    assert max(abs(expected[id_].item() - logprob) for id_, logprob in logprobs.items()) < 1e-4


def test_half_precision_is_read(tmp_path):
    for name in ("float16", "bfloat16"):
        served = Served(tmp_path / name, SHAPES["plain"], getattr(torch, name))
        assert served.ask("/completion", prompt="x", n_predict=3, temperature=0)["tokens_predicted"] == 3


def pieces(served, **body):
    """What a client is streamed by /v1/completions; a grammar makes the model write what is wanted."""
    return [piece for piece in served.streamed("/v1/completions", prompt="x", temperature=0, **body) if piece]


def test_a_stream_is_whole_characters(served):
    assert pieces(served, max_tokens=7, grammar='root ::= "é😀b"') == ["é", "😀", "b"]


def test_of_a_character_that_is_cut_off_a_stream_says_nothing_and_an_answer_that_it_is_none(served):
    cut = {"max_tokens": 3, "grammar": 'root ::= "a😀b"'}
    assert pieces(served, **cut) == ["a"]
    (choice,) = served.ask("/v1/completions", prompt="x", temperature=0, **cut)["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("a\ufffd", "length")


def test_stop_strings_end_a_text_and_are_held_back(served):
    assert "".join(pieces(served, max_tokens=6, grammar='root ::= "a bc d"', stop=["bc"])) == "a "


def test_a_zero_byte_is_a_byte(served):
    assert pieces(served, max_tokens=2, logit_bias=[[64, 100]]) == ["\0", "\0"]


def test_bytes_are_counted_and_names_of_specials_read_as_specials(served):
    def read(prompt):
        return served.ask("/v1/completions", prompt=prompt, max_tokens=1)["usage"]["prompt_tokens"]

    assert read("é\0") == 1 + 3
    # Not so in /tokenize, where it can be asked for; a client that takes strangers' text gives ids.
    assert read("<raw>x") == 1 + 1 + 1
    assert served.ask("/completion", prompt=[RAW_OPEN, 64 + 0xC3], n_predict=1)["tokens_evaluated"] == 2
