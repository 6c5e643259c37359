"""Run in a process of its own by :mod:`.sandbox`: gives up what could do harm, then runs a program.

Read from standard input: one line of JSON with the limits and the program. The token is written to standard output once
the program has come to its end; a program that leaves early, by whatever way, does not write it.

This file is run by path, isolated from the package and from site-packages: it imports the standard library alone.
"""

import contextlib
import ctypes
import errno
import io
import json
import os
import resource
import signal
import struct
import sys

_SYS_CAPSET = 126 if os.uname().machine == "x86_64" else 91
_CAPABILITY_VERSION_3 = 0x20080522
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOWED, _TRY_AGAIN = 0x7FFF0000, 0x00050000 | errno.EAGAIN
_X32_CALLS = 0x40000000
# clone3, clone, and where there are such fork and vfork; the architecture's number in linux/audit.h.
_FORKS = (435, 56, 57, 58) if os.uname().machine == "x86_64" else (435, 220)
_ARCHITECTURE = 0xC000003E if os.uname().machine == "x86_64" else 0xC00000B7
CANNOT_CONFINE = 77

_libc = ctypes.CDLL(None, use_errno=True)


def confine(memory: int, cpu_seconds: int) -> None:
    """Give up network, files, other processes, memory and time; ends the process where that fails."""
    try:
        _enter_namespaces()
        _see_python_alone()
    except OSError as error:
        print(f"this system does not let a process confine itself: {error}", file=sys.stderr)
        sys.exit(CANNOT_CONFINE)
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_STACK: min(memory, 64 << 20),
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    names = [None if name is None else name.encode() for name in (source, target, kind)]
    _check(_libc.mount(*names, ctypes.c_ulong(flags), None), f"mount {target}")


def _enter_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS | os.CLONE_NEWNET | os.CLONE_NEWPID | os.CLONE_NEWIPC)
    maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
    for name, content in maps.items():
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def _see_python_alone() -> None:
    """Make a root of Python's own folders and the system's libraries, all of it read-only.

    Sockets and pipes elsewhere in the file system could be talked to however read-only they are: they are out of sight.
    """
    needed = [path for path in (sys.base_prefix, "/usr", "/lib", "/lib64") if os.path.isdir(path)]
    root = next(
        place
        for place in ("/mnt", "/media", "/srv", "/opt", "/tmp", "/var")
        if os.path.isdir(place) and not any(path.startswith(place + "/") for path in needed)
    )
    _mount("tmpfs", root, "tmpfs", 0)
    for path in needed:
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif not any(path.startswith(other + "/") for other in needed):
            os.makedirs(root + path, exist_ok=True)
            _mount(path, root + path, None, _MS_BIND | _MS_REC)
    os.chroot(root)
    os.chdir("/")
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    done = _libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, ctypes.byref(attributes), size)
    _check(done, "mount_setattr")


def _give_up_capabilities() -> None:
    """Without them nothing of the above can be taken back."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _check(_libc.syscall(_SYS_CAPSET, ctypes.byref(header), ctypes.byref(none)), "capset")
    _give_up_forking()


def _give_up_forking() -> None:
    """No further process or thread; RLIMIT_NPROC would not do, as it binds every user but root."""
    deny = len(_FORKS) + 5
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 0, deny - 2, _ARCHITECTURE), (_LOAD, 0, 0, 0)]
    # Another way to make the same calls, which their numbers alone do not tell.
    steps.append((_AT_LEAST, deny - 4, 0, _X32_CALLS))
    steps += [(_EQUAL, deny - 5 - place, 0, number) for place, number in enumerate(_FORKS)]
    steps += [(_RETURN, 0, 0, _ALLOWED), (_RETURN, 0, 0, _TRY_AGAIN)]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    address = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(steps), ctypes.addressof(address))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0), "prctl")


def run(program: str) -> None:
    """Run a program silently; an exception of any kind is passed on."""
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        exec(compile(program, "<program>", "exec"), {"__name__": "__program__"})


def _answer(job: dict[str, str]) -> None:
    """Give up the rest, run the program, write the token if it comes to its end."""
    answer = os.dup(1)
    try:
        _give_up_capabilities()
        run(job["program"])
    except BaseException as error:  # a program may end in any way
        os.write(2, f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace"))
        os._exit(1)
    os.write(answer, job["token"].encode())
    os._exit(0)


def _first_process(job: dict[str, str]) -> None:
    """The first process of the namespace, with which all others in it end.

    It is not the program's own: that could take back what lets it end with its parent, and outlive its time.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _answer(job)
    _, status = os.waitpid(child, 0)
    os._exit(0 if status == 0 else 1)


def main() -> None:
    """Confine, fork into the new process namespace, run."""
    job = json.loads(sys.stdin.readline())
    confine(job["memory"], job["cpu_seconds"])
    child = os.fork()
    if child == 0:
        _first_process(job)
    _, status = os.waitpid(child, 0)
    sys.exit(0 if status == 0 else 1)


if __name__ == "__main__":
    main()
