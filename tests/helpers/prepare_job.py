"""Prepare a corpus, in a process to be killed: ``python prepare_job.py CORPUS PREFIX WORKERS NAMES [FLAG…]``.

Like ``megatron-proxy prepare``, but without torch, so that it starts at once.
"""

import sys

from megatron_proxy import cli
from megatron_proxy.commands import prepare
from megatron_proxy.views.writer import StreamWriter


def main(corpus, prefix, workers, names, *more):
    prepare.megatron_writer = lambda: StreamWriter
    flags = ["--input", corpus, "--output-prefix", prefix, "--workers", workers, "--compressor", names, *more]
    return cli.main(["prepare", *flags])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
