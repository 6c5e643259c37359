"""Export → import → export, and Megatron trains on from what was imported."""

import json

import pytest

torch = pytest.importorskip("torch")

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.model.checkpoint import open_checkpoint  # noqa: E402

# 420 ids become 432 for one and for two tensor-parallel ranks.
PADDING = "--make-vocab-size-divisible-by"


@pytest.fixture(scope="module")
def imported(trained, tmp_path_factory):
    """A folder with an export of the trained model (``hf``) and an import of that (``back``)."""
    folder = tmp_path_factory.mktemp("imported")
    assert cli.main(["export", "--load", str(trained.folder), "--output", str(folder / "hf")]) == 0
    data = ["--prefix", str(trained.prefix), "--compressor", "trie", PADDING, "16"]
    assert cli.main(["import", "--load", str(folder / "hf"), "--output", str(folder / "back"), *data]) == 0
    return folder


def continued(training, trained, folder, *flags, processes=1):
    """Losses of a run that goes on from the import, with the trained model's flags but the folded formats."""
    own = trained.flags.replace("--proxy-format-embedding", "")
    own += f" {PADDING} {16 // processes} --lr 1e-3 --train-iters 2 --load {folder / 'back'}"
    return training.train(own, *flags, processes=processes, cwd=folder)


def test_the_checkpoint_is_a_release_for_the_dataset(imported, trained):
    made, before = open_checkpoint(imported / "back"), open_checkpoint(trained.folder)
    assert (made.folder.name, made.iteration, made.args.proxy_compression) == ("release", None, "trie")
    assert made.args.proxy_fingerprints == before.args.proxy_fingerprints
    assert made.tensors.shapes["embedding.word_embeddings.weight"] == (432, 32)
    for name in ("decoder.layers.1.self_attention.linear_qkv.weight", "decoder.layers.0.mlp.linear_fc1.weight"):
        assert torch.equal(made.tensors.read(name), before.tensors.read(name))
    output = "output_layer.weight"
    assert torch.equal(made.tensors.read(output)[:320], before.tensors.read(output)[:320])
    assert made.tensors.read(output)[320:].std() == pytest.approx(0.02, rel=0.1)


def test_exported_again_it_is_the_same_file(imported):
    again = imported / "again"
    assert cli.main(["export", "--load", str(imported / "back"), "--output", str(again)]) == 0
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (again / name).read_bytes() == (imported / "hf" / name).read_bytes(), name


def test_training_goes_on_from_it(imported, trained, training):
    run = continued(training, trained, imported)
    assert len(run.losses) == 2
    # New symbols are as good as guessed, bytes are not: a model from nothing would be at ln 432 = 6.07 nats.
    assert run.losses[0] < 5.5
    assert "iteration        1/       2 | consumed samples:            4" in run.log
    assert "mixed otherwise" not in run.log


@pytest.mark.slow
def test_it_loads_into_two_tensor_parallel_ranks(imported, trained, training):
    one = continued(training, trained, imported)
    two = continued(training, trained, imported, "--tensor-model-parallel-size 2", processes=2)
    assert two.losses == pytest.approx(one.losses, abs=2e-5)


@pytest.mark.slow
def test_sharded_over_two_by_two_ranks_it_evaluates_and_exports_the_same(imported, trained, training, tmp_path):
    """At a learning rate of nothing Megatron saves what it loaded, in the pieces of TP=2, PP=2."""
    parallel = "--tensor-model-parallel-size 2 --pipeline-model-parallel-size 2"
    saving = f"{PADDING} 8 --lr 0 --weight-decay 0 --train-iters 1 --save {tmp_path / 'sharded'} --save-interval 1"
    own = trained.flags.replace("--proxy-format-embedding", "")
    training.train(own, f"--load {imported / 'back'}", parallel, saving, processes=4, cwd=tmp_path)
    assert open_checkpoint(tmp_path / "sharded").args.pipeline_model_parallel_size == 2
    assert cli.main(["export", "--load", str(tmp_path / "sharded"), "--output", str(tmp_path / "hf")]) == 0
    weights = (imported / "hf" / "model.safetensors").read_bytes()
    assert (tmp_path / "hf" / "model.safetensors").read_bytes() == weights
    (tmp_path / "held.jsonl").write_text(json.dumps({"text": "while value in range " * 9}) + "\n")
    found = []
    for folder in (imported / "back", tmp_path / "sharded"):
        output = tmp_path / f"{folder.name}.json"
        command = ["evaluate", "--load", str(folder), "--input", str(tmp_path / "held.jsonl"), "--stride", "16"]
        assert cli.main([*command, "--output", str(output)]) == 0
        found.append(json.loads(output.read_text())["nats"])
    assert found[0] == found[1]
