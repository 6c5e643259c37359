"""BPB of documents, against sums taken by hand from a model's logits."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402
import tiny_data  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import CheckpointError, CorpusError  # noqa: E402
from megatron_proxy.evaluation import bits  # noqa: E402
from megatron_proxy.evaluation.bits import Document  # noqa: E402
from megatron_proxy.evaluation.scoring import Scorer, Shares  # noqa: E402
from megatron_proxy.model.network import ByteModel  # noqa: E402
from megatron_proxy.vocab import COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN, raw_ids  # noqa: E402

TEXTS = [b"def f(x):\n    return x\n", b"", "naïve 😀".encode(), b"\xff\x00", bytes(range(256))]
DOCUMENTS = [Document(text, f"file{number % 2}", "ab"[number % 2]) for number, text in enumerate(TEXTS)]
BYTES = sum(map(len, TEXTS))


@pytest.fixture(scope="module")
def model():
    return random_model.model(replace(random_model.LLAMA, formats=True))


def nats(model, ids) -> float:
    """Of all ids after the first, in one pass, bytes and symbols only."""
    if len(ids) == 1:
        return 0.0
    ids = torch.tensor([ids])
    losses = torch.nn.functional.cross_entropy(model.logits(ids[:, :-1])[0], ids[0, 1:], reduction="none")
    return losses[ids[0, 1:] >= 64].sum().item()


def test_separate_documents_of_one_window(model):
    found = bits.measure(DOCUMENTS, bits.raw_view(), Scorer(model, 1000, 500))
    expected = sum(nats(model, [RAW_OPEN, *raw_ids(text)]) for text in TEXTS)
    total = found.total
    assert total.nats == pytest.approx(expected, rel=1e-6)
    assert (total.documents, total.source_bytes, total.targets) == (5, BYTES, BYTES)
    figures = bits.as_json(found)
    assert figures["bpb"] == pytest.approx(expected / math.log(2) / BYTES, rel=1e-6)
    assert figures["bpb_of_bytes_alone"] < figures["bpb"]


@pytest.mark.long
@pytest.mark.parametrize("stride", [1, 5, 16, 32])
def test_long_documents_slide(model, stride):
    """Each byte with the context that its window gives it."""
    text = bytes(range(256)) + b"tail"
    found = bits.measure([Document(text, "f", None)], bits.raw_view(), Scorer(model, 32, stride))
    ids, expected, done = raw_ids(text), 0.0, 0
    while done < len(ids):
        end = min(len(ids), done + (stride if done else 32))
        begin = max(0, end - 32)
        whole = nats(model, [RAW_OPEN, *ids[begin:end]])
        context = nats(model, [RAW_OPEN, *ids[begin:done]]) if done > begin else 0.0
        expected += whole - context
        done = end
    assert found.total.nats == pytest.approx(expected, rel=1e-6)
    assert found.total.targets == len(text)


def test_documents_in_one_stream(model):
    found = bits.measure(DOCUMENTS, bits.raw_view(), Scorer(model, 1000, 1000), concatenate=True)
    stream = [EOS]
    for text in TEXTS:
        stream += [RAW_OPEN, *raw_ids(text), RAW_CLOSE, EOS]
    assert found.total.nats == pytest.approx(nats(model, stream), rel=1e-6)
    assert found.total.targets == BYTES
    # What belongs to which file is told apart inside one window.
    assert {name: tally.targets for name, tally in found.by_file().items()} == {
        "file0": sum(map(len, TEXTS[::2])),
        "file1": sum(map(len, TEXTS[1::2])),
    }


def test_without_sentinels(model):
    separate = bits.measure(DOCUMENTS[:1], bits.raw_view(sentinels=False), Scorer(model, 1000, 1000))
    assert separate.total.nats == pytest.approx(nats(model, [EOS, *raw_ids(TEXTS[0])]), rel=1e-6)
    view = bits.raw_view(sentinels=False)
    joined = bits.measure([DOCUMENTS[0], DOCUMENTS[2]], view, Scorer(model, 1000, 1000), concatenate=True)
    stream = [EOS, *raw_ids(TEXTS[0]), EOS, *raw_ids(TEXTS[2]), EOS]
    assert joined.total.nats == pytest.approx(nats(model, stream), rel=1e-6)


def test_the_compressed_view_is_per_source_byte(model):
    def encode(text: bytes) -> np.ndarray:
        """Pairs of bytes as one of ten symbols, a last odd byte as a literal."""
        pairs = [320 + sum(text[place : place + 2]) % 10 for place in range(0, len(text) - 1, 2)]
        return np.array(pairs + [64 + byte for byte in text[len(text) // 2 * 2 :]], dtype=np.int64)

    done = []
    scorer = Scorer(model, 1000, 1000, progress=done.append)
    found = bits.measure(DOCUMENTS, bits.compressed_view(encode), scorer)
    assert sum(done) == BYTES
    expected = sum(nats(model, [COMPRESSED_OPEN, *encode(text)]) for text in TEXTS)
    assert found.total.nats == pytest.approx(expected, rel=1e-6)
    assert found.total.source_bytes == BYTES
    assert found.total.targets == sum(len(encode(text)) for text in TEXTS)
    # Its symbols are no bytes: a figure under bytes alone would be made of nothing.
    figures = bits.as_json(found)
    assert figures["bpb_of_bytes_alone"] is figures["files"]["file0"]["bpb_of_bytes_alone"] is None
    assert "bytes_alone" not in bits.as_table(found)
    assert bits.as_table(found).endswith("as in the training log's compressed bpb")


@pytest.mark.parametrize("concatenate", [False, True])
def test_progress_adds_up_to_the_bytes(model, concatenate):
    """In this process as in each of several: all go the same way at the same pace."""
    for shares in (Shares(0, 1), Alone(0, 2), Alone(1, 2)):
        done = []
        scorer = Scorer(model, 16, 7, batch=2, progress=done.append, shares=shares)
        bits.measure(DOCUMENTS, bits.raw_view(), scorer, concatenate=concatenate)
        assert (sum(done), len(done) > 10) == (BYTES, True)


class Alone(Shares):
    """A process of several that does not wait for the others."""

    def add(self, sums, columns):
        return np.concatenate(sums)


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batches_change_nothing(model, batch):
    expected = bits.measure(DOCUMENTS * 5, bits.raw_view(), Scorer(model, 16, 7, batch=1)).total
    found = bits.measure(DOCUMENTS * 5, bits.raw_view(), Scorer(model, 16, 7, batch=batch)).total
    assert found.nats == pytest.approx(expected.nats, rel=1e-9)
    assert (found.targets, found.correct) == (expected.targets, expected.correct)


def test_tables_by_file_and_domain(model):
    found = bits.measure(DOCUMENTS, bits.raw_view(), Scorer(model, 1000, 1000))
    assert [tally.documents for tally in found.by_domain().values()] == [3, 2]
    lines = bits.as_table(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:6]] == ["file file0", "file file1", "domain a", "domain b", "total"]
    assert lines[5].split()[:3] == ["total", "5", str(BYTES)]


def test_the_table_tells_both_figures_and_what_each_is(model):
    found = bits.measure(DOCUMENTS, bits.raw_view(), Scorer(model, 1000, 1000))
    figures = bits.as_json(found)
    head, *_, total, nothing, under_all, alone = bits.as_table(found).splitlines()
    assert head.split()[:4] == ["documents", "bytes", "bpb", "bpb_of_bytes_alone"]
    assert total.split()[3:5] == [f"{figures['bpb']:.4f}", f"{figures['bpb_of_bytes_alone']:.4f}"]
    assert under_all == "bpb: bits per source byte under all ids that the model has, as in the training log's raw bpb"
    assert alone.startswith("bpb_of_bytes_alone: under the specials and bytes alone, which are all the ids of the exp")
    assert nothing == ""


def test_probabilities_that_are_no_numbers():
    tensors = random_model.tensors(random_model.LLAMA)
    tensors.scale = float("nan")
    broken = ByteModel(random_model.LLAMA, tensors)
    with pytest.raises(CheckpointError, match="no numbers"):
        bits.measure(DOCUMENTS, bits.raw_view(), Scorer(broken, 32, 16))


def test_nothing_to_evaluate(model):
    with pytest.raises(CorpusError, match="no document holds a byte"):
        bits.measure([Document(b"", "f", None)], bits.raw_view(), Scorer(model, 8, 8))


@pytest.fixture
def held_out(tmp_path):
    path = tmp_path / "held.jsonl"
    lines = [{"text": "return value\n" * 8, "kind": "a"}, {"text": "print(total)", "kind": "b"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_command(trained, held_out, tmp_path, capsys):
    output = tmp_path / "bpb.json"
    command = ["evaluate", "--load", str(trained.folder), "--input", str(held_out), "--output", str(output)]
    assert cli.main([*command, "--domain-key", "kind"]) == 0
    found = json.loads(output.read_text())
    assert (found["bytes"], found["documents"], found["context"], found["stride"]) == (116, 2, 64, 32)
    assert 0 < found["bpb"] < 9
    assert set(found["domains"]) == {"a", "b"}
    assert found["iteration"] == 4
    assert "domain a" in capsys.readouterr().out
    # What is there is not replaced unless told.
    assert cli.main(command) == 1
    assert "exists already" in capsys.readouterr().err
    more = ["--overwrite", "--view", "compressed", "--data-prefix", str(trained.prefix), "--translate"]
    assert cli.main([*command, *more]) == 0
    compressed = json.loads(output.read_text())
    assert compressed["translation"]["raw_given_compressed"]["bytes"] == 116
    assert compressed["translation"]["compressed_given_raw"]["exact_match"] == 0.0
    assert "raw given compressed" in capsys.readouterr().out
    assert compressed["bytes"] == 116
    assert compressed["targets"] < 116


def test_symbols_of_another_compressor_are_refused(trained, held_out, tmp_path, capsys):
    tiny_data.prepare(tmp_path / "other", trained.texts, trained_on=[b"quite other words " * 40])
    command = ["evaluate", "--load", str(trained.folder), "--input", str(held_out), "--view", "compressed"]
    assert cli.main([*command, "--data-prefix", str(tmp_path / "other")]) == 1
    assert "--data-prefix: the model was trained on symbols of another trie compressor" in capsys.readouterr().err


def test_two_processes_find_the_same_number(training, trained, held_out, tmp_path):
    command = ["evaluate", "--load", str(trained.folder), "--input", str(held_out), "--batch", "1", "--stride", "3"]
    assert cli.main([*command, "--output", str(tmp_path / "one.json")]) == 0
    words = ("-m", "megatron_proxy.cli", *command, "--output", str(tmp_path / "two.json"))
    run = training.python(*words, processes=2)
    assert run.log.count("total") == 1
    assert json.loads((tmp_path / "two.json").read_text()) == json.loads((tmp_path / "one.json").read_text())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stride", "65"], "--stride: must be between 1 and the context, 64, not 65"),
        (["--context", "1"], "--context: a window of 1 ids"),
        (["--batch", "0"], "--batch: must be at least 1"),
        (["--device", "nowhere"], "--device: 'nowhere' cannot be used"),
        (["--view", "compressed"], "--view compressed: the compressed view needs"),
        (["--translate"], "--translate: the compressed view needs"),
        (["--iteration", "9"], "there is no 'iter_0000009'"),
    ],
)
def test_flags_that_cannot_work(trained, held_out, capsys, flags, message):
    assert cli.main(["evaluate", "--load", str(trained.folder), "--input", str(held_out), *flags]) == 1
    assert message in capsys.readouterr().err
