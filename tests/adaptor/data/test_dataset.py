"""The dataset behind Megatron's own builder: splits, blends, masks, caches, and what is refused before training."""

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import megatron_args  # noqa: E402
import tiny_data  # noqa: E402
from megatron.core.datasets.blended_dataset import BlendedDataset  # noqa: E402
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder  # noqa: E402
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig, MockGPTDataset  # noqa: E402
from megatron.training import global_vars  # noqa: E402

from megatron_proxy import vocab  # noqa: E402
from megatron_proxy.adaptor import run  # noqa: E402
from megatron_proxy.adaptor.data import blend_index, dataset  # noqa: E402
from megatron_proxy.adaptor.data.dataset import ProxyGPTDataset  # noqa: E402
from megatron_proxy.adaptor.measures import bytes_seen  # noqa: E402
from megatron_proxy.data.dataset import manifest  # noqa: E402
from megatron_proxy.data.dataset.opened import PreparedDataset  # noqa: E402
from megatron_proxy.data.dataset.reader import UnmappedView, ViewReader  # noqa: E402
from megatron_proxy.data.sampling.schedule import Mode  # noqa: E402
from megatron_proxy.errors import ConfigurationError, DatasetError, ProxyError, UnsupportedError  # noqa: E402


class Builder(BlendedMegatronDatasetBuilder):
    """Megatron's builder with our hooks, which the tests do not leave in Megatron itself."""

    __init__ = dataset.swap_dataset(BlendedMegatronDatasetBuilder.__init__)
    build = dataset.remember_training(BlendedMegatronDatasetBuilder.build)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two prefixes with the same compressor files, a third with others, a fourth with another vocabulary."""
    folder = tmp_path_factory.mktemp("data")
    texts = tiny_data.documents(90)
    tiny_data.prepare(folder / "a", texts)
    tiny_data.prepare(folder / "b", tiny_data.documents(30, seed=2), trained_on=texts)
    tiny_data.prepare(folder / "other", tiny_data.documents(60, seed=3))
    tiny_data.prepare(folder / "bytes", [b"ab"] * 9)
    tiny_data.prepare(folder / "gzip", texts, name="gzip")
    return folder


@pytest.fixture
def build(data, tmp_path, monkeypatch):
    """Builds the three splits as a pretraining script does."""

    def build_datasets(*flags, kind=GPTDataset, sizes=(32, 8, 8), cache=True, **config):
        args = megatron_args.parse(*flags)
        monkeypatch.setattr(global_vars, "_GLOBAL_ARGS", args)
        monkeypatch.setenv("RANK", "0")
        path = str(tmp_path / "cache") if cache else None
        made = megatron_args.dataset_config(args, path_to_cache=path, **config)
        run.introduce(run.current())
        return Builder(kind, list(sizes), lambda: True, made).build()

    return build_datasets


def ids_of(datasets, count=None):
    """The windows of some samples, one row each."""
    rows = []
    for sample in range(len(datasets) if count is None else count):
        found = datasets[sample]
        rows.append(np.append(found["tokens"], found["labels"][-1]))
    return np.array(rows)


def test_the_script_gets_our_dataset_and_the_run_knows_it(build, data):
    train, valid, test = build(f"--data-path {data / 'a'}")
    assert {type(one) for one in (train, valid, test)} == {ProxyGPTDataset}
    assert len(train) >= 32
    assert run.current().training is train
    assert run.current().datasets_swapped


def test_splits_are_cut_between_documents(build, data):
    datasets = build(f"--data-path {data / 'a'} --split 80,10,10")
    ranges = [one.plan.spec.documents for one in datasets]
    assert ranges == [range(0, 72), range(72, 81), range(81, 90)]
    for one, documents in zip(datasets, ranges, strict=True):
        assert set(one.plan.draw_documents.tolist()) <= set(documents)


def test_training_follows_the_schedule_and_validation_reads_raw_bytes(build, data):
    train, valid, test = build(f"--data-path {data / 'a'} --proxy-horizon-samples 100")
    assert train.plan.spec.horizon_samples == 100
    assert train.plan.spec.schedule == run.current().settings.schedule
    assert (ids_of(train) == vocab.COMPRESSED_OPEN).any()
    for one in (valid, test):
        assert not (ids_of(one) == vocab.COMPRESSED_OPEN).any()
        assert (ids_of(one) == vocab.RAW_OPEN).any()


def test_validation_of_both_views(build, data):
    _, valid, _ = build(f"--data-path {data / 'a'} --proxy-validation-view both", sizes=(32, None, 8))
    raw, compressed = valid.plan.source_bytes_after(len(valid))
    assert raw == compressed == sum(len(text) for text in tiny_data.documents(90)[72:81])


def test_full_validation_reads_every_byte_once(build, data):
    _, valid, _ = build(
        f"--data-path {data / 'a'} --split 80,20,0 --full-validation --multiple-validation-sets", sizes=(32, None, 8)
    )
    labels = torch.cat([valid[i]["labels"][valid[i]["loss_mask"] > 0] for i in range(len(valid))])
    texts = tiny_data.documents(90)[72:90]
    assert int(((labels >= vocab.BYTE_OFFSET) & (labels < vocab.SYMBOL_OFFSET)).sum()) == sum(map(len, texts))
    assert sorted(vocab.decode(labels).decode("latin-1")) == sorted(b"".join(texts).decode("latin-1"))
    assert valid[len(valid) - 1]["labels"][-1] == vocab.PAD


@pytest.mark.parametrize(
    ("view", "ids"),
    [
        ("raw", lambda raw, codes: raw + 3),
        ("compressed", lambda raw, codes: codes + 3),
        ("both", lambda r, c: r + c + 6),
    ],
)
def test_validation_and_test_hold_an_epoch_and_more_if_more_is_asked_for(build, data, view, ids):
    flags = f"--data-path {data / 'a'} --proxy-validation-view {view}"
    _, valid, test = build(flags, sizes=(32, 1, 2))
    for one, documents in ((valid, slice(72, 81)), (test, slice(81, 90))):
        raw, codes = (view.sequence_lengths[documents].astype(int) for view in (one.dataset.raw, one.dataset.codes))
        assert len(one) == sum(ids(raw, codes)) // 64
    _, longer, _ = build(flags, sizes=(32, len(valid) + 5, 2))
    assert len(longer) == len(valid) + 5
    assert np.array_equal(ids_of(longer, len(valid)), ids_of(valid))


def test_training_holds_what_is_asked_for(build, data):
    train, _, _ = build(f"--data-path {data / 'a'} --proxy-horizon-samples 100", sizes=(3, 1, 1))
    assert len(train) == 3


def test_a_run_that_will_hardly_see_the_raw_view_is_told(build, tmp_path, data, capsys):
    build(f"--data-path {data / 'a'}")
    assert "raw bytes, and this run reads" not in capsys.readouterr().out
    tiny_data.prepare(tmp_path / "long", [b"value = total + index\n" * 2000] * 10)
    flags = f"--data-path {tmp_path / 'long'} --proxy-warmup-fraction 0 --proxy-peak-rate 0.8 --seed 5"
    train, _, _ = build(flags)
    assert train.plan.source_bytes_after(32)[0] == 0
    told = "warning: the rates ask for 20.0% raw bytes, and this run reads 0.0%: of "
    assert told in capsys.readouterr().out


def test_a_sample_has_the_keys_shapes_and_types_of_stock(build, data):
    train, _, _ = build(f"--data-path {data / 'a'}")
    found = {key: (tuple(value.shape), value.dtype) for key, value in train[3].items()}
    assert found == {
        "tokens": ((64,), torch.int64),
        "labels": ((64,), torch.int64),
        "loss_mask": ((64,), torch.float32),
        "position_ids": ((64,), torch.int64),
        "attention_mask": ((1, 64, 64), torch.bool),
    }
    assert "attention_mask" not in build(f"--data-path {data / 'a'}", create_attention_mask=False)[0][3]


def test_a_sample_that_fills_up_a_batch_has_no_loss(build, data):
    train, _, _ = build(f"--data-path {data / 'a'}")
    assert float(train[None]["loss_mask"].sum()) == 0
    assert torch.equal(train[None]["tokens"], train[0]["tokens"])
    assert float(train[0]["loss_mask"].sum()) == 64


def test_reset_flags_part_the_documents(build, data):
    train, _, _ = build(f"--data-path {data / 'a'} --reset-position-ids --reset-attention-mask --eod-mask-loss")
    sample = train[5]
    ends = torch.nonzero(sample["tokens"][:-1] == vocab.EOS).flatten().tolist()
    assert ends
    for end in ends:
        assert sample["position_ids"][end + 1] == 0
        assert sample["attention_mask"][0, end + 1 :, : end + 1].all()
        assert sample["loss_mask"][end] == 0
    assert not torch.equal(train[6]["attention_mask"], sample["attention_mask"])


def test_packed_documents_have_their_borders(build, data):
    if "inter_document_masking" not in GPTDatasetConfig.__dataclass_fields__:
        pytest.skip("this Megatron has no --dataloader-inter-document-masking")
    sample = build(f"--data-path {data / 'a'}", inter_document_masking=True)[0][5]
    assert set(sample) == {"tokens", "labels", "loss_mask", "position_ids", "cu_seqlens", "max_seqlen"}
    ends = (torch.nonzero(sample["tokens"][:-1] == vocab.EOS).flatten() + 1).tolist()
    assert sample["cu_seqlens"].tolist() == [0, *ends, *[64] * (64 - len(ends))]
    assert sample["max_seqlen"] == max(np.diff([0, *ends, 64]))
    assert sample["cu_seqlens"].dtype == sample["max_seqlen"].dtype == torch.int32


def test_a_weighted_blend_gives_each_dataset_its_share_of_the_horizon(build, data):
    train, _, _ = build(f"--data-path 0.75 {data / 'a'} 0.25 {data / 'b'} --proxy-horizon-samples 400")
    assert isinstance(train, BlendedDataset)
    assert [one.plan.spec.horizon_samples for one in train.datasets] == [300, 100]
    assert len(train) == 32


def test_a_blend_without_weights_goes_by_raw_bytes(build, data):
    flags = f"{data / 'a'} {data / 'b'} {data / 'other'} --proxy-horizon-samples 1000"
    train, _, _ = build(f"--data-path {flags}", sizes=(8, 4, 4))
    units = [manifest.read(data / name).raw.units for name in ("a", "b", "other")]
    expected = [round(1000 * one / sum(units)) for one in units]
    assert [one.plan.spec.horizon_samples for one in train.datasets] == expected


def test_a_rank_that_does_not_see_the_index_of_a_blend_makes_it(build, data, tmp_path, monkeypatch):
    blend = build(f"--data-path 0.7 {data / 'a'} 0.3 {data / 'b'} --data-cache-path {tmp_path / 'cache'}")[0]
    stock = BlendedDataset._build_indices
    written = [index.tolist() for index in stock(blend)]
    files = sorted((tmp_path / "cache").glob("*.npy"))
    assert files
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda *_: 9)
    opened = blend_index.on_every_node(stock)(blend)
    assert [index.tolist() for index in opened] == written
    assert all(isinstance(index, np.memmap) for index in opened)
    for file in files:
        file.unlink()
    with pytest.raises(FileNotFoundError):
        stock(blend)
    assert [index.tolist() for index in blend_index.on_every_node(stock)(blend)] == written
    assert list((tmp_path / "cache").glob("*.npy")) == []
    assert blend.config.path_to_cache == str(tmp_path / "cache")


def test_splits_of_their_own(build, data):
    train, valid, test = build(
        f"--train-data-path {data / 'a'} --valid-data-path {data / 'b'} --test-data-path {data / 'b'}"
    )
    assert train.plan.spec.documents == range(90)
    assert valid.plan.spec.documents == test.plan.spec.documents == range(30)


def test_several_validation_sets(build, data):
    flags = f"--train-data-path {data / 'a'} --valid-data-path {data / 'a'} {data / 'b'} {data / 'other'}"
    _, valid, _ = build(f"{flags} --multiple-validation-sets --full-validation", sizes=(8, None, 4))
    assert [one.plan.spec.documents for one in valid] == [range(90), range(30), range(60)]


def test_paths_from_a_file(build, data, tmp_path):
    listing = tmp_path / "paths.txt"
    listing.write_text(f"0.5 {data / 'a'}\n0.5 {data / 'b'}\n")
    train, _, _ = build(f"--data-args-path {listing}")
    assert [one.dataset_path for one in train.datasets] == [str(data / "a"), str(data / "b")]


def test_samples_come_from_the_cache_the_second_time(build, data, tmp_path, monkeypatch):
    first, _, _ = build(f"--data-path {data / 'a'}")
    files = sorted((tmp_path / "cache").iterdir())
    monkeypatch.setattr(dataset.planner, "plan_parts", lambda *args: pytest.fail("planned again"))
    second, _, _ = build(f"--data-path {data / 'a'}")
    assert np.array_equal(ids_of(first), ids_of(second))
    assert sorted((tmp_path / "cache").iterdir()) == files


@pytest.mark.parametrize(
    "flags", ["--seed 2", "--proxy-peak-rate 0.5", "--proxy-horizon-samples 99", "--seq-length 32"]
)
def test_another_run_has_a_cache_of_its_own(build, data, flags):
    first, _, _ = build(f"--data-path {data / 'a'}")
    second, _, _ = build(f"--data-path {data / 'a'} {flags}")
    assert first.unique_identifiers["plan"] != second.unique_identifiers["plan"]


def test_without_a_cache_path_plans_lie_beside_the_data(build, data):
    build(f"--data-path {data / 'a'}", cache=False)
    assert list((data / "a" / "cache" / "ProxyGPTDataset").glob("*-ProxyPlan.plan"))


def test_a_longer_run_begins_with_the_samples_of_the_shorter_one(build, data):
    flags = f"--data-path {data / 'a'} --proxy-horizon-samples 64"
    short, _, _ = build(flags, sizes=(16, 8, 8))
    long, _, _ = build(flags, sizes=(64, 8, 8))
    assert np.array_equal(ids_of(short, 16), ids_of(long, 16))


def test_interleaved_views(build, data):
    train, _, _ = build(f"--data-path {data / 'a'} --proxy-mode interleaved")
    windows = ids_of(train)
    assert (windows == vocab.RAW_OPEN).any()
    assert (windows == vocab.COMPRESSED_OPEN).any()


def test_interleaved_windows_are_compiled_before_workers_are_forked(build, data, monkeypatch):
    made = []

    class Recorded(dataset.Windows):
        def __getitem__(self, sample):
            made.append(sample)
            return super().__getitem__(sample)

    monkeypatch.setattr(dataset, "Windows", Recorded)
    build(f"--data-path {data / 'a'}")
    assert made == []
    build(f"--data-path {data / 'a'} --proxy-mode interleaved")
    assert made == [0]


def test_bytes_seen_of_one_dataset_and_of_a_blend(build, data, monkeypatch):
    train, _, _ = build(f"--data-path {data / 'a'}")
    seen = bytes_seen.BytesSeen(train)
    assert seen.after(0) == (0, 0)
    assert seen.after(7) == train.plan.source_bytes_after(7)
    blend, _, _ = build(f"--data-path 0.75 {data / 'a'} 0.25 {data / 'b'}")
    seen = bytes_seen.BytesSeen(blend)
    monkeypatch.setattr(bytes_seen, "_STRETCH", 3)
    for samples in (5, 20, 3, 32):
        counts = np.bincount(np.asarray(blend.dataset_index[:samples]), minlength=2)
        parts = [one.plan.source_bytes_after(int(count)) for one, count in zip(blend.datasets, counts, strict=True)]
        assert seen.after(samples) == tuple(map(sum, zip(*parts, strict=True)))


@pytest.mark.parametrize("mode", ["sentinel", "interleaved"])
def test_files_that_must_not_be_mapped_give_the_same_samples(build, data, mode):
    flags = f"--data-path {data / 'a'} --proxy-mode {mode} --proxy-warmup-mode {mode}"
    mapped, read = build(flags)[0], build(flags, "--no-mmap-bin-files")[0]
    assert np.array_equal(ids_of(mapped), ids_of(read))
    assert np.array_equal(ids_of(pickle.loads(pickle.dumps(read))), ids_of(read))
    assert (type(mapped.dataset.raw), type(read.dataset.raw)) == (ViewReader, UnmappedView)


def test_a_dataset_keeps_no_list_of_its_documents(build, data):
    """At a thousand million documents, Megatron's would be 4 GB in every rank that reads data, and in every worker."""
    for one in build(f"--data-path {data / 'a'}"):
        documents = one.plan.spec.documents
        assert one.indices.tolist() == [documents.start, documents.stop - 1]


def test_all_splits_read_the_same_views(build, data):
    views = [id(one.dataset) for one in build(f"--train-data-path {data / 'a'} --valid-data-path {data / 'a'}")[:2]]
    assert views[0] == views[1]


def test_a_worker_opens_the_maps_again(build, data):
    train, _, _ = build(f"--data-path {data / 'a'}")
    pickled = pickle.dumps(train)
    assert len(pickled) < 20_000
    assert np.array_equal(ids_of(pickle.loads(pickled)), ids_of(train))


REFUSED = [
    ("--data-path {0}/a --proxy-compression zsdt", ProxyError, r"did you mean 'zstd'\? known: "),
    (
        "--data-path {0}/none",
        DatasetError,
        "prepare --input CORPUS.jsonl --output-prefix .*/none --compressor trie",
    ),
    ("--data-path {0}/a_raw_document", DatasetError, "give the prefix '.*/a', without the ending"),
    ("--data-path {0}/a --proxy-compression gzip", DatasetError, "has no gzip view; it has: trie"),
    (
        "--data-path {0}/a {0}/bytes {0}/b",
        DatasetError,
        r"different vocabularies: .*\n.* --compressor trie --compressor-from \S+/a$",
    ),
    ("--data-path s3://bucket/a", UnsupportedError, "object storage"),
    ("--data-path 1 {0}/a 2 {0}/a", ConfigurationError, "named twice"),
    ("--data-path 1 {0}/a 0 {0}/b", ConfigurationError, "/b' has the weight 0 in its blend"),
    ("--data-path nan {0}/a 1 {0}/b", ConfigurationError, "/a' has the weight nan in its blend"),
    ("--seed 1", ConfigurationError, "no data is given"),
    ("--data-path {0}/gzip --proxy-compression gzip --proxy-mode interleaved", ConfigurationError, "needs spans"),
    (
        "--data-path {0}/a --split 1,0,0 --proxy-validation-view both --proxy-mode vanilla",
        ConfigurationError,
        "vanilla",
    ),
]


@pytest.mark.parametrize(("flags", "kind", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_what_cannot_train_is_refused_before_there_is_a_model(build, data, flags, kind, message):
    with pytest.raises(kind, match=message):
        build(flags.format(data))


def test_a_truncated_view_is_refused(build, data, tmp_path):
    for file in data.glob("b_*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "b_raw_document.bin").write_bytes((data / "b_raw_document.bin").read_bytes()[:-1])
    with pytest.raises(DatasetError, match="the manifest says"):
        build(f"--data-path {tmp_path / 'b'}")


def test_a_split_without_documents_is_refused(build, data):
    with pytest.raises(DatasetError) as error:
        build(f"--data-path {data / 'a'} --split 999,1,0")
    assert error.value.where == "--split"
    assert error.value.what.startswith(f"the valid part of '{data / 'a'}', ")


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning")  # Megatron's own division
def test_shares_of_nothing_are_refused(build, data):
    with pytest.raises(ConfigurationError, match=r"^--split: all shares are zero\n"):
        build(f"--data-path {data / 'a'} --split 0,0,0")


def test_a_run_without_validation_data_must_not_evaluate(build, data):
    flags = f"--data-path {data / 'a'} --split 100,0,0"
    with pytest.raises(ConfigurationError, match=r"^--eval-iters: there is no validation data for the 3 iterations"):
        build(f"{flags} --eval-iters 3")
    train, valid, test = build(f"{flags} --eval-iters 0")
    assert (len(train) > 0, valid, test) == (True, None, None)


def test_other_kinds_of_data_are_refused(build, data):
    with pytest.raises(UnsupportedError, match="builds a MockGPTDataset"):
        build(f"--data-path {data / 'a'}", kind=MockGPTDataset)


def test_other_compressor_files_are_allowed_and_told(build, data, capsys):
    build(f"--data-path {data / 'a'} {data / 'b'} {data / 'other'}", sizes=(8, 4, 4))
    assert "different compressor files" in capsys.readouterr().out
    assert len(run.current().tokenizer.fingerprints) == 2


def test_without_the_flag_the_hooks_see_no_run(data, monkeypatch):
    args = megatron_args.parse(f"--data-path {data / 'a'}")
    args.proxy_compression = None
    monkeypatch.setattr(global_vars, "_GLOBAL_ARGS", args)
    assert run.active() is None
    asked = []
    dataset.swap_dataset(lambda self, cls, *rest: asked.append(cls))(None, MockGPTDataset, [1], None, None)
    assert asked == [MockGPTDataset]


def test_source_bytes_of_ids(build, data):
    build(f"--data-path {data / 'a'}")
    table = run.current().source_bytes
    compressor = PreparedDataset.open(data / "a").compressor("trie")
    assert table[: vocab.NUM_SPECIALS].sum() == 0
    assert set(table[vocab.BYTE_OFFSET : vocab.SYMBOL_OFFSET]) == {1.0}
    assert np.array_equal(table[vocab.SYMBOL_OFFSET :], compressor.symbol_bytes())


def test_source_bytes_where_only_the_mean_is_known(build, data):
    build(f"--data-path {data / 'gzip'} --proxy-compression gzip")
    found = manifest.read(data / "gzip")
    mean = found.raw.units / found.compressed["gzip"].view.units
    assert run.current().source_bytes[vocab.SYMBOL_OFFSET :] == pytest.approx(mean)


def test_the_modes_of_a_run_reach_the_plan(build, data):
    for mode in Mode:
        train, _, _ = build(f"--data-path {data / 'a'} --proxy-warmup-mode {mode} --proxy-mode {mode}")
        assert {step.mode for step in train.plan.spec.schedule.steps()} == {mode}
        assert len(ids_of(train, 4)) == 4
