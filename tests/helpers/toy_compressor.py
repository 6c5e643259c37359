"""A tiny compressor for tests of preparing: a span per line, a code per byte, and something to learn if asked."""

import os
import signal

import numpy as np

from megatron_proxy.compressors.base import Compressor, Encoded, Option
from megatron_proxy.errors import CompressorError


class ToyCompressor(Compressor):
    """Code = byte + shift."""

    name = "toy"
    options = (
        Option("shift", int, 1, "what is added to a byte"),
        Option("learn", bool, False, "add the number of documents"),
        Option("fault", str, "", "what to get wrong"),
    )
    spans = True

    def __init__(self, shift, fault=""):
        self.shift = shift
        self.fault = fault
        self.calls = 0
        self.restored = False

    @classmethod
    def build(cls, options, corpus):
        if options["shift"] > 200:
            raise CompressorError(f"shift {options['shift']} is too much", where="--toy-shift")
        return cls(options["shift"] + (sum(1 for _ in corpus()) if options["learn"] else 0), options["fault"])

    @classmethod
    def from_config(cls, config, files):
        if files != {"table.bin": bytes([config["shift"]])}:
            raise CompressorError("the table does not fit")
        restored = cls(config["shift"], config["fault"])
        restored.restored = True
        return restored

    def config(self):
        return {"shift": self.shift, "fault": self.fault}

    def files(self):
        return {"table.bin": bytes([self.shift])}

    @property
    def num_symbols(self):
        return 512

    def encode(self, document):
        if self.fault == "raise":
            raise CompressorError("this document is too much")
        if self.fault.startswith("die"):
            self.die()
        if self.fault == "dtype":
            return np.zeros(len(document), dtype=np.int64)
        codes = np.frombuffer(document, dtype=np.uint8).astype(np.uint16) + self.shift
        self.calls += 1
        if (self.fault == "counts" and self.calls == 2) or (self.fault == "restored" and self.restored):
            # Another code for each byte, which is decoded to the same.
            codes = np.where(codes < 256, codes + 256, codes).astype(np.uint16)
        return codes + 512 if self.fault == "code" else codes

    def die(self):
        """Kill the process: every time, or ("die:PATH") once."""
        path = self.fault.removeprefix("die").removeprefix(":")
        if not path or not os.path.exists(path):
            if path:
                open(path, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def decode(self, codes):
        if len(codes) and int(codes.min()) < self.shift:
            raise CompressorError("not made by this compressor")
        return (codes - self.shift).astype(np.uint8).tobytes()

    def encode_spans(self, document):
        ends = np.flatnonzero(np.frombuffer(document, dtype=np.uint8) == 10) + 1
        if len(document) and (not len(ends) or ends[-1] != len(document)):
            ends = np.append(ends, len(document))
        ends = ends.astype(np.int64)
        if self.fault == "spans":
            ends = ends[:-1]
        if self.fault == "long" and len(document):
            ends = np.array([len(document)])
        return Encoded(self.encode(document), ends, ends)


class WholeCompressor(ToyCompressor):
    """The same without spans."""

    name = "whole"
    spans = False
