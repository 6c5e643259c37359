"""Which folders are for all nodes."""

import pytest

from megatron_proxy.common.storage import filesystems

MOUNTS = r"""overlay / overlay rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/nvme0n1 /home/fast ext4 rw 0 0
10.0.0.1@o2ib:/scratch /scratch lustre rw 0 0
bucket /mnt/my\040bucket fuse.juicefs rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
autofs /auto autofs rw 0 0
server:/auto /auto nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "shared"),
    [
        ("/work/cache", False),
        ("/home/me/cache", True),
        ("/home/fast/cache", False),
        ("/home/faster", True),
        ("/scratch", True),
        ("/mnt/my bucket/x", True),
        ("/dev/shm/x", False),
        ("/auto/x", True),
    ],
)
def test_the_file_system_tells(tmp_path, folder, shared):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert filesystems.is_shared(folder, tmp_path / "mounts") == shared


def test_a_link_leads_to_its_file_system(tmp_path):
    (tmp_path / "link").symlink_to("/scratch/me")
    (tmp_path / "mounts").write_text(MOUNTS)
    assert filesystems.is_shared(tmp_path / "link" / "cache", tmp_path / "mounts")


def test_without_a_table_a_folder_is_this_machines(tmp_path):
    assert not filesystems.is_shared("/scratch", tmp_path / "none")
