"""A manifest by somebody else: it opens and removes nothing but its own dataset's files."""

import hashlib
import json

import pytest
from preparing import TEXTS, files_of, write_corpus

from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.dataset.verify import verify
from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.errors import DatasetError


def run(folder, prefix, texts, **settings):
    corpus = write_corpus(folder / "c.jsonl", texts)
    job = Job(str(folder / prefix), [corpus], [Recipe("gzip")], workers=0, report=str, **settings)
    prepare(job)


def rewrite(path, change):
    """Change a manifest, and let its checksum fit."""
    content = json.loads(path.read_text())
    content.pop("checksum")
    change(content)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**content, "checksum": digest}))


def test_another_datasets_files_are_not_removed_with_it(tmp_path):
    run(tmp_path, "mine", TEXTS)
    run(tmp_path, "p", TEXTS)
    mine = files_of(tmp_path, "mine")

    def name_mine(content):
        content["compressed"]["gzip"]["view"]["bin"]["name"] = "mine_gzip_document.bin"
        content["compressed"]["gzip"]["files"]["x"] = {"name": "mine_manifest.json", "size": 0, "sha256": ""}

    rewrite(tmp_path / "p_manifest.json", name_mine)
    run(tmp_path, "p", [*TEXTS, "more"], overwrite=True)
    assert files_of(tmp_path, "mine") == mine
    for prefix in ("mine", "p"):
        assert verify(str(tmp_path / prefix), deep=True, workers=0, log_interval=10**9).problems == []


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "..", "sub/file", "a\0b"])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    run(tmp_path, "p", TEXTS)
    good = (tmp_path / "p_manifest.json").read_text()

    def as_file(content):
        content["raw"]["bin"]["name"] = name

    def as_compressor(content):
        content["compressed"][name] = content["compressed"]["gzip"]

    def as_suffix(content):
        content["compressed"]["gzip"]["files"][name] = {"name": "p_x", "size": 0, "sha256": ""}

    for change in (as_file, as_compressor, as_suffix):
        (tmp_path / "p_manifest.json").write_text(good)
        rewrite(tmp_path / "p_manifest.json", change)
        with pytest.raises(DatasetError, match=r"leaves the manifest's folder|no file can have the name"):
            manifest.read(tmp_path / "p")
