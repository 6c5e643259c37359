"""Take over a corpus that was compressed for the paper's own implementation: its JSONL files become a dataset.

  megatron-proxy import-reference --input chunk.*.jsonl --output-prefix data/corpus --compressed-key m1_ac_ow16

Each line holds the text and, under the compressed key, the base64 of packed 9-bit values. The raw view is made (or
compared) first, then the view 'imported': train on it with --proxy-compression imported. Such a view cannot be decoded
here, nor can more text be encoded for it.
"""

from __future__ import annotations

import argparse
import shlex

from ..data.prepare import Job
from ..data.reference.codes import compressor_for
from ..data.reference.importing import import_reference
from . import _flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    _flags.add_input(parser, required=True)
    parser.add_argument("--output-prefix", required=True, metavar="PREFIX", help="the dataset's prefix")
    _flags.add_json_key(parser, formerly="--text-key")
    parser.add_argument(
        "--compressed-key", required=True, metavar="KEY", help="key of the compressed view, such as m1_ac_ow16"
    )
    parser.add_argument(
        "--bits",
        type=int,
        default=16,
        metavar="N",
        help="bits per symbol, a divisor of the window's; 0 leaves compressed bytes unpacked (default: %(default)s)",
    )
    parser.add_argument(
        "--window-bits", type=int, metavar="N", help="bits per window (default: read off the key, 16 for …_ow16)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a dataset or a view that differs")
    _flags.add_running(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    compressor = compressor_for(args.compressed_key, args.bits or None, args.window_bits)
    job = Job(
        prefix=args.output_prefix,
        inputs=args.input,
        keys=[args.json_key],
        workers=args.workers,
        overwrite=args.overwrite,
        log_interval=args.log_interval,
        **_flags.reading(args),
    )
    import_reference(job, compressor)
    print(f"train on it: --data-path {shlex.quote(args.output_prefix)} --proxy-compression {compressor.name}")
    return 0
