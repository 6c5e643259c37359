"""How an error ends a rank, and with it the job."""

import os
import subprocess
import sys
import textwrap

import pytest

from megatron_proxy.adaptor import failing
from megatron_proxy.errors import DatasetError

ERROR = DatasetError("the file ends early", where="x.bin", fix="prepare again")


def test_an_error_names_its_rank_in_a_job_of_many():
    alone = "megatron_proxy: error: x.bin: the file ends early\n  what to do: prepare again"
    assert failing.message(ERROR, {}) == failing.message(ERROR, {"RANK": "0", "WORLD_SIZE": "1"}) == alone
    where = f"rank 17 of 1000, {os.uname().nodename}"
    many = failing.message(ERROR, {"RANK": "17", "WORLD_SIZE": "1000"})
    assert many == alone.replace("error:", f"error ({where}):")


@pytest.mark.long
def test_a_rank_that_fails_ends_the_others(tmp_path):
    """It has a thread that never ends, as the writer of a checkpoint may be; the other waits for it in a barrier."""
    pytest.importorskip("torch")
    script = """
        import os, sys, threading
        import torch.distributed
        from megatron_proxy.adaptor import failing
        from megatron_proxy.errors import ProxyError

        sys.excepthook = failing.with_messages(sys.excepthook)
        torch.distributed.init_process_group(
            "gloo", init_method="file://" + sys.argv[1], rank=int(os.environ["RANK"]), world_size=2
        )
        torch.distributed.barrier()
        if torch.distributed.get_rank() == 1:
            threading.Thread(target=threading.Event().wait).start()
            raise ProxyError("no such view")
        torch.distributed.barrier()
        """
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "store")],
            env={**os.environ, "RANK": rank, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        # Gloo's own limit is half an hour.
        messages = [rank.communicate(timeout=240)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [1, 1]
    assert f"megatron_proxy: error (rank 1 of 2, {os.uname().nodename}): no such view" in messages[1]
    assert "Traceback" not in messages[1]
