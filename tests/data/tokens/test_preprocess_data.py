"""What tools/preprocess_data.py of each checkout writes becomes the views that are prepared from the text."""

import json
import os
import subprocess
import sys

import pytest
from preparing import files_of, raw_documents
from token_files import byte_level, sentencepiece_model

from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.data.prepare.recipe import recipes
from megatron_proxy.data.tokens import open_tokens

TEXTS = [f"{number} quick brown foxes jump.\nOver {number * 7919} lazy dogs, é🦜.\n" for number in range(40)] + [
    "",
    "x",
]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Compressor → Megatron's name of the tokenizer, what it takes for --tokenizer-model, and the file."""
    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "bpe").mkdir()
    byte_level(folder / "bpe" / "tokenizer.json", TEXTS, special=["<|endoftext|>"])
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "bpe" / "tokenizer_config.json").write_text(json.dumps(kind))
    sentencepiece_model(folder / "m.model", TEXTS, remove_extra_whitespaces=False)
    return {
        "hf": ("HuggingFaceTokenizer", folder / "bpe", folder / "bpe" / "tokenizer.json"),
        "sentencepiece": ("SentencePieceTokenizer", folder / "m.model", folder / "m.model"),
    }


def preprocess(checkout, corpus, key, kind, model, prefix):
    """The prefix of what the tool makes of one key: of several it finishes the last one's index only."""
    command = [sys.executable, str(checkout / "tools" / "preprocess_data.py"), "--input", corpus, "--json-keys", key]
    command += ["--tokenizer-type", kind, "--tokenizer-model", str(model), "--append-eod", "--workers", "1"]
    done = subprocess.run(
        [*command, "--output-prefix", str(prefix)],
        env={**os.environ, "PYTHONPATH": str(checkout), "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return f"{prefix}_{key}_document"


def take(prefix, output, file):
    corpus, compressor = open_tokens([prefix], str(file), {}, eod=None, drop=False)
    prepare(Job(str(output), given=corpus, recipes=[Recipe(compressor.name, made=compressor)], workers=0, report=str))


@pytest.mark.megatron
@pytest.mark.long
@pytest.mark.parametrize("name", ["hf", "sentencepiece"])
def test_views_of_its_ids_are_those_of_the_text(name, tokenizers, checkouts, tmp_path):
    if not checkouts:
        pytest.skip("MEGATRON_LM names no checkout")
    kind, model, file = tokenizers[name]
    lines = [json.dumps({"text": text, "sentences": text.splitlines(keepends=True)}) + "\n" for text in TEXTS]
    (tmp_path / "c.jsonl").write_text("".join(lines))
    corpus = str(tmp_path / "c.jsonl")
    prepare(
        Job(str(tmp_path / "p"), [corpus], recipes([name], {name: {"model": str(file)}}, []), workers=0, report=str)
    )
    expected = files_of(tmp_path)
    for tag, checkout in checkouts.items():
        whole, sentences = (
            preprocess(checkout, corpus, key, kind, model, tmp_path / tag) for key in ("text", "sentences")
        )
        take(whole, tmp_path / f"t{tag}", file)
        found = files_of(tmp_path, f"t{tag}")
        assert [one for one in expected if one != "_manifest.json" and found[one] != expected[one]] == [], tag
        # Sentences, as --split-sentences makes them, are sequences of one document.
        take(sentences, tmp_path / f"s{tag}", file)
        joined = [document.replace(b"\n ", b"\n") for document in raw_documents(str(tmp_path / f"s{tag}"))]
        assert joined == [text.encode() for text in TEXTS], tag
