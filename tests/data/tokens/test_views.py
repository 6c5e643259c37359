"""Tokenized corpora become datasets: the views are those that are prepared from the text."""

import json
from pathlib import Path

import numpy as np
import pytest
from preparing import decoded, files_of, leftovers, raw_documents, write_corpus
from token_files import byte_level, sentencepiece_model, write_tokens

from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.dataset.verify import verify
from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.data.prepare.recipe import recipes
from megatron_proxy.data.shards.merge import merge
from megatron_proxy.data.tokens import corpus as corpus_module
from megatron_proxy.data.tokens import open_tokens
from megatron_proxy.errors import ConfigurationError, CorpusError, DatasetError

# Without the character that SentencePiece takes for a space.
PROSE = (Path(__file__).parents[2] / "fixtures" / "text.txt").read_text().replace("▁", "").splitlines(keepends=True)
# A document that is empty, and one that is longer than a span may be.
TEXTS = ["".join(PROSE[i : i + 1 + i % 5]) for i in range(0, len(PROSE), 2)] + [
    "",
    "é🦜",
    " a b",
    PROSE[1].strip() * 900,
]
END = 0


@pytest.fixture(scope="module")
def hf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    tokenizer = byte_level(folder / "tokenizer.json", TEXTS[:40])
    return "hf", str(folder / "tokenizer.json"), lambda text: tokenizer.encode(text, add_special_tokens=False).ids, END


def model(tmp_path_factory, **settings):
    path = tmp_path_factory.mktemp("sentencepiece") / "m.model"
    processor = sentencepiece_model(path, PROSE, **settings)
    return "sentencepiece", str(path), processor.encode, processor.eos_id()


@pytest.fixture(scope="module")
def spaced(tmp_path_factory):
    """As Llama's: a space before each text."""
    return model(tmp_path_factory, remove_extra_whitespaces=False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Its views have spans."""
    return model(
        tmp_path_factory, remove_extra_whitespaces=False, add_dummy_prefix=False, allow_whitespace_only_pieces=True
    )


def tokens_of(made, texts, *, ends=True):
    """The ids of texts: one sequence each, none for an empty one."""
    _, _, encode, eod = made
    return [[[*encode(text), *([eod] if ends else [])]] if text else [] for text in texts]


def take(folder, prefixes, made, name="p", *, drop=False, eod=None, options=None, others=(), **settings):
    corpus, compressor = open_tokens(prefixes, made[1], options or {}, eod=eod, drop=drop)
    report = []
    found = [Recipe(compressor.name, made=compressor), *others]
    prepare(Job(str(folder / name), given=corpus, recipes=found, report=report.append, **({"workers": 0} | settings)))
    return report


def views(folder, prefix):
    return {name: content for name, content in files_of(folder, prefix).items() if name != "_manifest.json"}


@pytest.mark.long
@pytest.mark.parametrize(("kind", "options"), [("hf", {}), ("hf", {"split": "tokens"}), ("spaced", {}), ("plain", {})])
def test_the_views_are_those_of_the_text(kind, options, request, tmp_path):
    made = request.getfixturevalue(kind)
    name, path, *_ = made
    corpus, given = write_corpus(tmp_path / "c.jsonl", TEXTS), {name: {"model": path, **options}}
    prepare(Job(str(tmp_path / "text"), [corpus], recipes([name], given, []), workers=0, report=str))
    expected = views(tmp_path, "text")
    assert ({f"_{name}_spans.bin", f"_{name}_spans.idx"} < set(expected)) == (kind == "plain" or bool(options))
    write_tokens(tmp_path / "ids", tokens_of(made, TEXTS))
    report = take(tmp_path, [str(tmp_path / "ids")], made, options={name: options})
    assert f"ids that were left out: {sum(map(bool, TEXTS))} end of document" in report
    found = views(tmp_path, "p")
    # Where the tokenizer is asked for lines or parts of a long text, and not for all of it, other spans are possible.
    assert set(found) == set(expected)
    assert [file for file in found if found[file] != expected[file]] == []
    # Nothing changes where a document's ids are in sequences, or have nothing at their ends.
    halves = [
        [one[: len(one) // 2], one[len(one) // 2 :]] for (one,) in filter(None, tokens_of(made, TEXTS, ends=False))
    ]
    write_tokens(tmp_path / "halves", halves, "int32")
    take(tmp_path, [str(tmp_path / "halves.idx")], made, "h", partitions=3)
    full = [text.encode() for text in TEXTS if text]
    assert raw_documents(str(tmp_path / "h")) == decoded(str(tmp_path / "h"), name) == full
    assert leftovers(tmp_path) == []


@pytest.mark.long
def test_any_workers_shards_and_chunks_give_the_same(hf, tmp_path, monkeypatch):
    parts = [TEXTS[:20], [""], TEXTS[20:], ["", ""]]
    prefixes = [
        write_tokens(tmp_path / f"ids{number}", tokens_of(hf, part), ("uint16", "int32")[number % 2])
        for number, part in enumerate(parts)
    ]
    take(tmp_path, prefixes, hf)
    expected = views(tmp_path, "p")
    texts = [text.encode() for part in parts for text in part]
    assert raw_documents(str(tmp_path / "p")) == texts
    take(tmp_path, prefixes, hf, "w", workers=2)
    assert views(tmp_path, "w") == expected
    for shard in range(3):
        take(tmp_path, prefixes, hf, "s", shard=(shard, 3))
    merge(str(tmp_path / "s"), report=str)
    assert {name: content for name, content in views(tmp_path, "s").items() if "_shard" not in name} == expected
    assert manifest.read(str(tmp_path / "s")) == manifest.read(str(tmp_path / "s")).with_given(
        "hf", {"inputs": ["ids0", "ids1", "ids2", "ids3"], "eod_id": 0, "special_tokens": "refuse"}
    )
    (source, *_) = open_tokens(prefixes, hf[1], {}, eod=None, drop=False)[0].sources
    for size in (1, 1000):
        cut = list(source.cut(0, source.size + 1, size))
        assert [document for chunk in cut for document in chunk.read(["text"]).documents[0]] == texts[:20]
        assert sum(chunk.disk_bytes for chunk in cut) == source.size
    assert "Megatron tokens" in manifest.read(str(tmp_path / "p")).source["kinds"]


def test_what_is_told_of_the_view_and_what_new_text_gets(hf, tmp_path):
    # The ids of a text that was cut at a place where the tokenizer would not cut.
    text = PROSE[0]
    halves = ([*hf[2](text[:cut]), *hf[2](text[cut:])] for cut in range(len(text)))
    odd = [[[*next(ids for ids in halves if ids != hf[2](text)), END]]] * 3 + tokens_of(hf, TEXTS)
    prefix = write_tokens(tmp_path / "ids", odd)
    take(tmp_path, [prefix], hf, others=[Recipe("gzip")], max_documents=20)
    content = manifest.read(str(tmp_path / "p"))
    assert content.documents == 20
    assert content.source["given_codes"] == {"hf": {"inputs": ["ids"], "eod_id": 0, "special_tokens": "refuse"}}
    found = verify(str(tmp_path / "p"), deep=True, workers=0, log_interval=10**9)
    assert (found.problems, found.decoded, found.encoded) == ([], {"hf": 20, "gzip": 20}, {"gzip": 2})
    # The same compressor for new text, which may also take the place of the given codes.
    corpus = write_corpus(tmp_path / "c.jsonl", ["more", text])
    again = recipes(["hf"], {}, [str(tmp_path / "p")])
    prepare(Job(str(tmp_path / "new"), [corpus], again, workers=0, report=str))
    assert manifest.read(str(tmp_path / "new")).compressed["hf"].fingerprint == content.compressed["hf"].fingerprint
    prepare(Job(str(tmp_path / "p"), recipes=again, workers=0, overwrite=True, report=str))
    assert "given_codes" not in manifest.read(str(tmp_path / "p")).source
    # Nothing is done twice, and another corpus is not taken for the same.
    report = take(tmp_path, [prefix], hf, max_documents=20)
    assert f"{tmp_path / 'p'}: the hf view is there already" in report
    with pytest.raises(DatasetError, match="holds another corpus"):
        take(tmp_path, [prefix], hf)


def test_special_tokens_are_refused_or_dropped(hf, tmp_path):
    begin = 1
    documents = [[[begin, *hf[2](text), END]] for text in TEXTS if text]
    prefix = write_tokens(tmp_path / "ids", [[], *documents])
    with pytest.raises(CorpusError, match=r"ids, document 2, id 1: the id 1 is a special token(.|\n)*drop") as error:
        take(tmp_path, [prefix], hf)
    assert "--special-tokens drop" in str(error.value)
    assert files_of(tmp_path) == {}
    assert leftovers(tmp_path) == []
    report = take(tmp_path, [prefix], hf, drop=True)
    assert f"ids that were left out: {len(documents)} end of document, {len(documents)} special" in report
    assert raw_documents(str(tmp_path / "p")) == [b"", *(text.encode() for text in TEXTS if text)]
    assert manifest.read(str(tmp_path / "p")).source["given_codes"]["hf"]["special_tokens"] == "drop"


def test_the_id_that_ends_documents(hf, tmp_path):
    ids = hf[2]("end of all things")
    # One that the tokenizer has not, as OpenAI's files of ranks have none for it; one that has bytes.
    outside = write_tokens(tmp_path / "outside", [[[*ids, 60000]]] * 2)
    take(tmp_path, [outside], hf, "outside")
    inside = write_tokens(tmp_path / "inside", [[[*ids, ids[-1]]]] * 2)
    take(tmp_path, [inside], hf, "inside", eod=ids[-1])
    assert raw_documents(str(tmp_path / "outside")) == raw_documents(str(tmp_path / "inside"))
    # None at all.
    take(tmp_path, [write_tokens(tmp_path / "none", [[ids]])], hf, "none")
    assert raw_documents(str(tmp_path / "none")) == [b"end of all things"]


def test_two_corpora_at_once_are_refused(hf, tmp_path):
    prefix = write_tokens(tmp_path / "ids", tokens_of(hf, TEXTS))
    with pytest.raises(ConfigurationError, match="the corpus is that of --input-tokens"):
        take(tmp_path, [prefix], hf, inputs=["c.jsonl"])


def test_ids_that_change_are_found(hf, tmp_path, monkeypatch):
    """Between the raw view and the compressed one."""
    prefix = write_tokens(tmp_path / "ids", tokens_of(hf, TEXTS))
    publish = corpus_module.TokenCorpus.encoder

    def change(self, *given):
        content = np.fromfile(f"{prefix}.bin", dtype=np.uint16)
        content[:5] = content[:5][::-1]
        content.tofile(f"{prefix}.bin")
        return publish(self, *given)

    monkeypatch.setattr(corpus_module.TokenCorpus, "encoder", change)
    with pytest.raises(DatasetError, match=r"document 1 to \d+: the raw view is not what the ids of these documents"):
        take(tmp_path, [prefix], hf)
    assert list(manifest.read(str(tmp_path / "p")).compressed) == []
    assert leftovers(tmp_path) == []


def test_ranks(tmp_path):
    import base64

    tokens = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" the"]
    (tmp_path / "r.tiktoken").write_bytes(
        b"".join(base64.b64encode(one) + b" %d\n" % rank for rank, one in enumerate(tokens))
    )
    made = "tiktoken", str(tmp_path / "r.tiktoken")
    write_tokens(tmp_path / "ids", [[[257, 258, 97, 1000]]])
    take(tmp_path, [str(tmp_path / "ids")], made, options={"tiktoken": {"pattern": "gpt2"}})
    assert raw_documents(str(tmp_path / "p")) == [b"the thea"]
    assert (
        json.loads((tmp_path / "p_manifest.json").read_text())["compressed"]["tiktoken"]["config"]["pattern"] == "gpt2"
    )
