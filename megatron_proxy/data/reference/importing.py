"""Import of a corpus that another tool has compressed: raw view, the view ``imported``, manifest."""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import replace
from itertools import islice

from ...common.progress import Progress
from ...compressors.imported import ImportedCompressor
from ...errors import DatasetError
from ..corpus import chunks, expand, read_chunk
from ..prepare import Job, prepare
from ..prepare.dataset import Dataset
from ..prepare.lock import locked
from ..prepare.raw_view import BadLines, Comparison, Different, take
from .codes import code_sink, codes_of


def import_reference(job: Job, compressor: ImportedCompressor) -> None:
    """Make the raw view, unless it is there, and the imported one.

    The second pass over the files compares their texts with the raw view, so the two views are of the same documents.
    Whatever the user can mend is a ProxyError. Nothing half-made is left behind.

    Parameters
    ----------
    job
        What to prepare: its only key is that of the text, and it has no recipes.
    compressor
        How the compressed view is read; its key is the compressed one.
    """
    job = replace(job, compressed_key=compressor.key)
    _check_first(job, compressor)
    prepare(job)
    with locked(job.prefix) as lock:
        dataset = Dataset(job.prefix, lock, overwrite=job.overwrite)
        _refuse_another(dataset, compressor)
        raw, files = dataset.prepared.raw(), job.files()
        label = f"{job.prefix}: importing {compressor.key}"
        with (
            dataset.making(compressor) as (pending,),
            closing(Comparison(raw, dataset.prepared.manifest.raw)) as comparison,
            # They were told in the first pass.
            closing(BadLines([dataset.layout], io.StringIO())) as bad_lines,
            Progress(label, job.disk_bytes(files), log_interval=job.log_interval) as progress,
        ):
            try:
                take(job, files, [comparison.add, code_sink(pending, compressor)], bad_lines, progress)
                comparison.finish()
            except Different as error:
                raise DatasetError(f"the corpus changed while it was read ({error})", where=job.prefix) from None
        codes = dataset.prepared.compressed(compressor.name).view.units
        job.report(
            f"{job.prefix}: {codes:,} codes in the imported view, {raw.units / max(1, codes):.2f} bytes per code"
        )


def _check_first(job: Job, compressor: ImportedCompressor) -> None:
    """Refuse a corpus whose first document has no codes that can be read, before the raw view of it is made."""
    for chunk in islice(chunks(expand(job.inputs, job.taking)), 1):
        _, codes = read_chunk(chunk, [*job.keys, compressor.key]).documents
        for first in codes[:1]:
            codes_of(first, compressor, 1)


def _refuse_another(dataset: Dataset, compressor: ImportedCompressor) -> None:
    """An imported view that was read otherwise is replaced only if asked."""
    entry = dataset.prepared.manifest.compressed.get(compressor.name)
    if entry is not None and entry.fingerprint != compressor.fingerprint and not dataset.overwrite:
        raise DatasetError(
            "has an imported view already, of another key or with other bits",
            where=dataset.prefix,
            fix="choose another --output-prefix, or replace the view with --overwrite",
        )
