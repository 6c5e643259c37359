"""Reading checkpoints: that Megatron wrote, that are damaged, and that mean harm."""

import pickle
import shutil
import warnings
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from megatron_proxy.errors import CheckpointError, UnsupportedError  # noqa: E402
from megatron_proxy.model.checkpoint import open_checkpoint, read_common, safety  # noqa: E402
from megatron_proxy.model.checkpoint.legacy import LegacyTensors  # noqa: E402
from megatron_proxy.model.network import Architecture, ByteModel  # noqa: E402
from megatron_proxy.vocab import RAW_OPEN  # noqa: E402

HELPERS = Path(__file__).parents[2] / "helpers"
LAYER = "decoder.layers.0."


@pytest.fixture(scope="module")
def opened(trained):
    return open_checkpoint(trained.folder)


@pytest.fixture
def copy(trained, tmp_path):
    """A checkpoint to be damaged: the folder of the iteration."""
    shutil.copytree(trained.folder, tmp_path / "checkpoint")
    return tmp_path / "checkpoint" / "iter_0000004"


def test_whole_tensors_under_global_names(opened):
    assert opened.iteration == 4
    assert opened.args.tensor_model_parallel_size == 2
    assert opened.args.proxy_compression == "trie"
    assert opened.sentinels
    shapes = opened.tensors.shapes
    assert shapes["embedding.word_embeddings.weight"] == (opened.args.padded_vocab_size, 32)
    assert shapes[f"{LAYER}self_attention.linear_qkv.weight"] == (64, 32)
    assert shapes[f"{LAYER}mlp.linear_fc1.layer_norm_weight"] == (32,)
    assert not any("optimizer" in name for name in shapes)
    assert {len(opened.tensors.read(name).shape) for name in shapes} == {1, 2}


def test_logits_are_megatrons(opened, trained, training, tmp_path, monkeypatch):
    """By Megatron's own loading and model, with the hooks in it."""
    ids = torch.randint(64, opened.args.padded_vocab_size, (3, 40), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = RAW_OPEN
    ids[1, 7:10] = torch.tensor([13, 2, 14])  # </raw> eos <compressed>
    torch.save(ids, tmp_path / "ids.pt")
    monkeypatch.setenv("IDS", str(tmp_path / "ids.pt"))
    monkeypatch.setenv("OUTPUT", str(tmp_path / "logits.pt"))
    loading = f"--load {trained.folder} --no-load-optim --no-load-rng --make-vocab-size-divisible-by 16"
    training.train(trained.flags, loading, script=HELPERS / "megatron_logits.py", cwd=tmp_path)
    expected = torch.load(tmp_path / "logits.pt", weights_only=True)
    model = ByteModel(Architecture.from_args(opened.args), opened.tensors)
    assert torch.count_nonzero(opened.tensors.read("embedding.tokentype_embeddings.weight")[1:]) > 0
    assert (model.logits(ids) - expected).abs().max() < 1e-4
    assert expected.std() > 0.1


@pytest.mark.parametrize(("ranks", "form"), [(1, "torch_dist"), (2, "torch")])
def test_the_layer_that_looks_ahead_is_megatrons(trained, training, tmp_path, monkeypatch, ranks, form):
    """Its logits of all places at once, and its guesses from pieces, in a cache, from several places on."""
    flags = f"{trained.flags} --mtp-num-layers 1 --tensor-model-parallel-size {ranks} --ckpt-format {form}"
    training.train(flags, f"--save {tmp_path / 'c'} --save-interval 4", processes=ranks, cwd=tmp_path)
    opened = open_checkpoint(tmp_path / "c")
    model = ByteModel(Architecture.from_args(opened.args), opened.tensors)
    ids = torch.randint(64, 320, (2, 20), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = RAW_OPEN
    torch.save(ids, tmp_path / "ids.pt")
    monkeypatch.setenv("IDS", str(tmp_path / "ids.pt"))
    monkeypatch.setenv("OUTPUT", str(tmp_path / "logits.pt"))
    loading = f"--load {tmp_path / 'c'} --no-load-optim --no-load-rng"
    training.train(flags, loading, script=HELPERS / "megatron_logits.py", processes=ranks, cwd=tmp_path)
    decoder, ahead = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert (model.logits(ids) - decoder).abs().max() < 1e-4
    cache = model.cache(2, 24)
    for begin, end in ((0, 7), (7, 8), (8, 19)):
        model.extend(ids[:, begin:end], cache)
        # What follows each id that the decoder has read; the last one is not read yet.
        after = ids[:, begin + 1 : end + 1]
        found, _ = model.ahead(after, cache, torch.full((2,), after.shape[1]), 3)
        expected = ahead[:, end - 1, :320]
        assert torch.equal(found[:, 0], expected.argmax(dim=1))
    assert ahead.std() > 0.1


def test_the_older_format_holds_the_same(opened, trained, training, tmp_path):
    flags = f"--tensor-model-parallel-size 2 --ckpt-format torch --save {tmp_path / 'c'} --save-interval 4"
    training.train(trained.flags, flags, processes=2, cwd=tmp_path)
    older = open_checkpoint(tmp_path / "c")
    assert older.tensors.shapes == opened.tensors.shapes
    for name in opened.tensors.shapes:
        assert torch.equal(older.tensors.read(name), opened.tensors.read(name)), name


def test_one_iteration_can_be_named(trained):
    assert open_checkpoint(trained.folder, 4).iteration == 4
    assert open_checkpoint(trained.folder / "iter_0000004").iteration == 4
    with pytest.raises(CheckpointError, match="there is no 'iter_0000007' in it; present: iter_0000004"):
        open_checkpoint(trained.folder, 7)


def test_a_missing_folder_and_one_that_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such checkpoint folder"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="this is no checkpoint"):
        open_checkpoint(tmp_path)


def test_an_exported_folder_is_told_with_what_loads_it(tmp_path):
    (tmp_path / "my hf").mkdir()
    (tmp_path / "my hf" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="this is a Hugging Face folder") as caught:
        open_checkpoint(tmp_path / "my hf")
    assert f"AutoModelForCausalLM.from_pretrained('{tmp_path / 'my hf'}')" in str(caught.value)
    assert f"megatron-proxy import --load '{tmp_path / 'my hf'}'" in str(caught.value)


def test_a_tracker_that_leaves_the_folder_is_not_followed(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "latest_checkpointed_iteration.txt").write_text("../elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(CheckpointError, match=r"there is no '\.\./elsewhere'"):
        open_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("missing", [".metadata", "metadata.json", "__1_0.distcp"])
def test_a_missing_file_is_told(copy, missing):
    (copy / missing).unlink()
    with pytest.raises(CheckpointError, match="half-written"):
        open_checkpoint(copy.parent)


@pytest.mark.parametrize("cut", [".metadata", "__0_0.distcp"])
def test_a_truncated_file_is_told(copy, cut):
    content = (copy / cut).read_bytes()
    (copy / cut).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="half-written"):
        open_checkpoint(copy.parent)


def test_an_index_that_would_run_code_is_not_loaded(copy):
    # What pickle makes of an object whose __reduce__ answers (os.system, ("exit 3",)).
    (copy / ".metadata").write_bytes(
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x06exit 3\x94\x85\x94R\x94."
    )
    with pytest.raises(CheckpointError, match="is not loaded: posix system"):
        open_checkpoint(copy.parent)


@pytest.mark.parametrize(
    ("pickled", "found"),
    [
        (b"\x80\x02cposix\nsystem\n.", "is not loaded: posix system"),
        # A name that comes out of the memo, and one whose memo entry is no string.
        (b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93.", "is not loaded: posix system"),
        (b"\x80\x04\x8c\x05posix\x94)\x94h\x00h\x01\x93.", "damaged or half-written"),
        # An attribute of what is listed is not.
        (b"\x80\x04\x8c\x05torch\x8c\x0dSize.__init__\x93.", "is not loaded: torch Size.__init__"),
        (b"\x80\x02(iposix\nsystem\n.", "is not loaded: posix system"),
        # An extension, and an object that is stored elsewhere.
        (b"\x80\x02\x82\x01.", "damaged or half-written"),
        (b"\x80\x02Pposix\n.", "damaged or half-written"),
    ],
)
def test_every_way_to_name_something_is_by_the_list(pickled, found, tmp_path):
    (tmp_path / ".metadata").write_bytes(pickled)
    with pytest.raises(CheckpointError, match=rf"^{tmp_path}/\.metadata: the index .*{found}"):
        safety.load_index(tmp_path / ".metadata")


class Harmful:
    """Not on any list of safe classes."""


def test_what_megatron_lists_as_safe_stays_listed(tmp_path):
    """Megatron lists it once, when it is imported, and loads its checkpoints by it later."""
    torch.save(Namespace(a=1), tmp_path / "file")
    listed = torch.serialization.get_safe_globals()
    assert Namespace in listed
    assert safety.load_safely(tmp_path / "file", "here") == Namespace(a=1)
    assert set(torch.serialization.get_safe_globals()) == set(listed)


def test_a_tensor_file_is_loaded_under_megatrons_list(tmp_path):
    torch.save({"args": Harmful()}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"it holds a \S+Harmful, which Megatron does not list as safe"):
        safety.load_safely(tmp_path / "file.pt", "file.pt")
    torch.save({"args": Namespace(a=1), "x": np.arange(3, dtype=np.uint32)}, tmp_path / "good.pt")
    assert safety.load_safely(tmp_path / "good.pt", "good.pt")["args"].a == 1
    (tmp_path / "cut.pt").write_bytes((tmp_path / "good.pt").read_bytes()[:300])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        safety.load_safely(tmp_path / "cut.pt", "cut.pt")


FULL = {
    "embedding.word_embeddings.weight": torch.arange(12.0).view(6, 2),
    "decoder.layers.{}.input_layernorm.weight": torch.arange(2.0),
    "decoder.layers.{}.self_attention.linear_qkv.weight": torch.arange(16.0).view(8, 2),
    "decoder.layers.{}.self_attention.linear_proj.weight": torch.arange(8.0).view(2, 4),
    "decoder.layers.{}.self_attention.linear_proj.bias": torch.arange(2.0),
    "decoder.layers.{}.mlp.linear_fc1.weight": torch.arange(16.0).view(8, 2),
    "decoder.layers.{}.mlp.linear_fc2.weight": torch.arange(8.0).view(2, 4),
}


def split(name: str, tensor: torch.Tensor, rank: int) -> torch.Tensor:
    """What one of two tensor-parallel ranks holds, by hand."""
    if "linear_fc1" in name:
        gate, up = tensor[:4], tensor[4:]
        return torch.cat([gate[2 * rank : 2 * rank + 2], up[2 * rank : 2 * rank + 2]])
    if name.endswith(("linear_proj.weight", "linear_fc2.weight")):
        return tensor[:, 2 * rank : 2 * rank + 2]
    if "linear_qkv" in name or "word_embeddings" in name:
        half = len(tensor) // 2
        return tensor[half * rank : half * (rank + 1)]
    return tensor


@pytest.fixture
def pieces(tmp_path):
    """A checkpoint of two tensor- and two pipeline-parallel ranks, one layer in each stage."""
    args = Namespace(
        num_layers=2, tensor_model_parallel_size=2, swiglu=True, padded_vocab_size=6, proxy_compression="x"
    )
    for rank in range(2):
        for stage in range(2):
            model = {
                name.format(0): split(name, tensor + 100 * stage * ("{}" in name), rank)
                for name, tensor in FULL.items()
                if "{}" in name or stage == 0
            }
            place = tmp_path / f"mp_rank_{rank:02d}_{stage:03d}"
            place.mkdir()
            torch.save({"args": args, "model": model, "iteration": 1}, place / "model_optim_rng.pt")
    return tmp_path


def test_pieces_of_tensor_and_pipeline_parallel_ranks_are_put_together(pieces):
    tensors = LegacyTensors(pieces)
    renamed = {"input_layernorm.": "self_attention.linear_qkv.layer_norm_"}
    for name, tensor in FULL.items():
        for layer in range(2 if "{}" in name else 1):
            expected_name = name.format(layer)
            for old, new in renamed.items():
                expected_name = expected_name.replace(old, new)
            expected = tensor + 100 * layer
            assert tensors.shapes[expected_name] == tuple(expected.shape)
            assert torch.equal(tensors.read(expected_name), expected), expected_name


def test_pieces_that_are_missing_or_of_another_kind_are_told(pieces):
    shutil.copytree(pieces / "mp_rank_01_001", pieces / "mp_rank_00_000_001")
    with pytest.raises(UnsupportedError, match="expert-parallel"):
        LegacyTensors(pieces)
    shutil.rmtree(pieces / "mp_rank_00_000_001")
    shutil.rmtree(pieces / "mp_rank_01_001")
    with pytest.raises(CheckpointError, match="files of some ranks are missing"):
        LegacyTensors(pieces)


def test_a_model_trained_without_the_flag_is_refused(pieces):
    path = pieces / "mp_rank_00_000" / "model_optim_rng.pt"
    state = safety.load_safely(path, "")
    state["args"].proxy_compression = None
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="not trained with --proxy-compression"):
        open_checkpoint(pieces)
    state["args"].proxy_compression = "zstd"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="the vocabulary of 6 ids does not hold the specials and the 256 bytes"):
        open_checkpoint(pieces)


def change(path, **changes):
    """Replace entries of a saved state; None takes one out."""
    state = safety.load_safely(path, "") | changes
    torch.save({name: value for name, value in state.items() if value is not None}, path)


def test_pieces_that_megatrons_own_loop_did_not_write(pieces):
    change(pieces / "mp_rank_00_000" / "model_optim_rng.pt", args={"num_layers": 2})
    with pytest.raises(CheckpointError, match=r"it holds no training arguments: Megatron's own training loop did not"):
        LegacyTensors(pieces)
    shutil.rmtree(pieces / "mp_rank_00_000")
    with pytest.raises(CheckpointError, match="the checkpoint is half-written: rank 0 is missing"):
        LegacyTensors(pieces)


def test_pieces_of_other_pipelines(pieces):
    first = pieces / "mp_rank_00_000" / "model_optim_rng.pt"
    args = safety.load_safely(first, "")["args"]
    change(first, args=Namespace(**vars(args), decoder_first_pipeline_num_layers=1))
    with pytest.raises(UnsupportedError, match=r"^--decoder-first-pipeline-num-layers: uneven pipeline stages"):
        LegacyTensors(pieces)
    change(first, args=args, model=None, model0={}, model1={})
    with pytest.raises(UnsupportedError, match="checkpoints of interleaved pipelines in the format 'torch' are not"):
        LegacyTensors(pieces)


@pytest.fixture
def small(tmp_path):
    """A checkpoint in the format torch_dist with one tensor, as torch itself writes it, and its index."""
    from torch.distributed import checkpoint

    folder = tmp_path / "iter_0000001"
    writer = checkpoint.FileSystemWriter(folder)
    with warnings.catch_warnings():
        # That it is one process is what is meant.
        warnings.simplefilter("ignore")
        checkpoint.save({"output_layer.weight": torch.arange(6.0).view(3, 2)}, storage_writer=writer, no_dist=True)
    (folder / "metadata.json").write_text("{}")
    args = Namespace(proxy_compression="x", padded_vocab_size=320)
    torch.save({"args": args}, folder / "common.pt")
    index = checkpoint.FileSystemReader(folder).read_metadata()
    # Where it was written; Megatron has a string there.
    index.storage_meta = None
    write_index(folder, index)
    return folder, index


def write_index(folder, index):
    (folder / ".metadata").write_bytes(pickle.dumps(index))


def test_a_small_checkpoint_is_read(small):
    assert open_checkpoint(small[0]).tensors.read("output_layer.weight").tolist() == [[0, 1], [2, 3], [4, 5]]


def test_what_is_beside_the_tensors_is_read_without_them(small, pieces):
    folder, _ = small
    assert read_common(folder.parent, 1)["args"].padded_vocab_size == 320
    (folder / "common.pt").unlink()
    assert read_common(folder.parent, 1) is None
    with pytest.raises(CheckpointError, match=r"^.*: there is no 'iter_0000002' in it; present: iter_0000001$"):
        read_common(folder.parent, 2)
    assert read_common(folder.parent) is None
    (pieces / "iter_0000007").mkdir()
    for piece in list(pieces.glob("mp_rank_*")):
        piece.rename(pieces / "iter_0000007" / piece.name)
    (pieces / "latest_checkpointed_iteration.txt").write_text("7")
    assert read_common(pieces)["args"].padded_vocab_size == 6
    (pieces / "iter_0000007" / "mp_rank_00_000" / "model_optim_rng.pt").write_bytes(b"cut off")
    assert read_common(pieces) is None


def test_what_is_beside_the_tensors_may_be_anything(small):
    folder, _ = small
    for common in ({}, [], [torch.zeros(1)], torch.zeros(1)):
        torch.save(common, folder / "common.pt")
        with pytest.raises(CheckpointError, match=r"iter_0000001: it holds no training arguments"):
            open_checkpoint(folder)
        assert not read_common(folder.parent, 1), common


def test_an_index_that_does_not_fit_its_tensors(small):
    folder, index = small
    entry = index.state_dict_metadata["output_layer.weight"]
    entry.size = torch.Size([4, 2])
    write_index(folder, index)
    with pytest.raises(CheckpointError, match=r"parts of 'output_layer\.weight' are missing"):
        open_checkpoint(folder).tensors.read("output_layer.weight")
    entry.chunks[0].sizes = torch.Size([4, 2])
    write_index(folder, index)
    with pytest.raises(CheckpointError, match=r"a part of 'output_layer\.weight' is not what the index says"):
        open_checkpoint(folder).tensors.read("output_layer.weight")


def test_an_index_that_leaves_its_folder(small):
    folder, index = small
    next(iter(index.storage_data.values())).relative_path = "../elsewhere"
    write_index(folder, index)
    with pytest.raises(CheckpointError, match=r"the file '\.\./elsewhere' is transformed or outside the folder"):
        open_checkpoint(folder)


def test_an_index_of_something_else(small):
    folder, _ = small
    (folder / ".metadata").write_bytes(b"\x80\x02}.")
    with pytest.raises(CheckpointError, match=r"the index is damaged or half-written \(AttributeError: "):
        open_checkpoint(folder)


def test_a_checkpoint_without_training_arguments(small):
    folder, _ = small
    torch.save({"iteration": 1}, folder / "common.pt")
    with pytest.raises(CheckpointError, match=r"it holds no training arguments: Megatron's own training loop did not"):
        open_checkpoint(folder)
    (folder / "common.pt").unlink()
    with pytest.raises(CheckpointError, match="it holds no common state, and so no training arguments"):
        open_checkpoint(folder)


def test_an_iteration_in_an_unknown_format(tmp_path):
    (tmp_path / "iter_0000003").mkdir()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("3")
    with pytest.raises(CheckpointError, match="the checkpoint is half-written, or in a format that is not read here"):
        open_checkpoint(tmp_path)


def test_an_index_that_is_cut_off_or_harmful(small):
    folder, _ = small
    path = folder / ".metadata"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match=r"\.metadata: the index is damaged or half-written \("):
        open_checkpoint(folder)
    path.write_bytes(b"\x80\x02cposix\nsystem\n.")
    with pytest.raises(
        CheckpointError, match="the index names things that have no place in one, and is not loaded: po"
    ):
        open_checkpoint(folder)


def test_a_file_of_the_index_that_is_missing_or_short(small):
    folder, _ = small
    (path,) = folder.glob("*.distcp")
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=rf"the checkpoint is half-written: {path.name} has [\d,]+ bytes of "):
        open_checkpoint(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=f"the checkpoint is half-written: {path.name} is missing"):
        open_checkpoint(folder)
