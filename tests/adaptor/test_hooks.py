"""The hooks: inert without the flag, checked before anything changes, put in place once."""

import importlib
import sys
import textwrap
from importlib import metadata
from types import SimpleNamespace

import interpreter
import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

from megatron_proxy.adaptor import hooks
from megatron_proxy.errors import UnsupportedError


def run_python(code, *arguments, cwd):
    """Output of a script that holds ``code``."""
    script = cwd / "script.py"
    script.write_text(textwrap.dedent(code))
    done = interpreter.run(script, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("---\n")[-1]


def test_without_the_flag_nothing_is_imported(tmp_path):
    code = """
        import sys
        import megatron_proxy.adaptor
        print("---")
        print([name for name in ("torch", "megatron", "numpy") if name in sys.modules])
        """
    assert run_python(code, "--proxy-compressions", "x", "--seed", "--proxy-mode", cwd=tmp_path) == "[]\n"


@pytest.mark.long
def test_a_child_process_is_left_alone(tmp_path):
    code = """
        import multiprocessing, sys
        import megatron_proxy.adaptor

        def child(queue):
            queue.put("torch" in sys.modules or "megatron" in sys.modules)

        if __name__ == "__main__":
            print("---")
            print("megatron" in sys.modules)
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(queue.get())
            process.join()
        """
    assert run_python(code, "--proxy-compression=zstd", cwd=tmp_path) == "True\nFalse\n"


HOOKED = """
    import importlib, sys
    {before}
    import megatron_proxy.adaptor
    {after}
    from megatron_proxy.adaptor import hooks
    def hooked():
        found = {{}}
        for hook in hooks.table():
            owner = importlib.import_module(hook.module)
            for part in hook.name.split(".")[:-1]:
                owner = getattr(owner, part)
            name = hook.name.split(".")[-1]
            if hook.required or hook.module == "__main__":
                found[hook.module, hook.name] = getattr(owner, name)
        return found
    once = hooked()
    assert all(hasattr(function, "_megatron_proxy_hook") for function in once.values()), once
    hooks.install()
    assert hooked() == once
    import argparse
    from megatron.training.arguments import add_megatron_arguments
    parser = add_megatron_arguments(argparse.ArgumentParser())
    print("---")
    print(len(once), parser.parse_args(["--proxy-compression", "zstd"]).proxy_compression)
    """
FLAGGED = ("--proxy-compression", "zstd", "--proxy-format-embedding")
IMPORTS = "from megatron.core.tokenizers.utils.build_tokenizer import build_tokenizer; import megatron.training"


def test_megatron_may_be_imported_before(training):
    """It is, in the process that this one is forked from."""
    code = textwrap.dedent(HOOKED.format(before=IMPORTS, after=""))
    run = training.python("-c", code, *FLAGGED)
    assert run.log.endswith("---\n18 zstd\n")


@pytest.mark.long
def test_megatron_may_be_imported_after(tmp_path):
    assert run_python(HOOKED.format(before="", after=IMPORTS), *FLAGGED, cwd=tmp_path) == "18 zstd\n"


def test_all_hooks_fit_this_megatron():
    assert hooks.problems() == []


@pytest.mark.parametrize(
    ("numbers", "version"), [((0, 19, 2, ""), "0.19.2"), ((0, 20, 0, "rc1"), "0.20.0rc1"), ((0, 17, 1, ""), "0.17.1")]
)
def test_the_version_is_the_releases_whatever_repository_lies_around(monkeypatch, numbers, version):
    info = SimpleNamespace(VERSION=numbers, __version__=f"{version}+c4e1785")
    monkeypatch.setitem(sys.modules, "megatron.core.package_info", info)
    assert hooks.megatron_version() == version


def test_the_version_is_that_of_the_installed_distribution():
    """Unless a checkout is before it on the path."""
    found = hooks.megatron_version()
    if "site-packages" in importlib.import_module("megatron.core").__file__:
        assert found == metadata.version("megatron-core")
    assert "+" not in found


def keep(function):
    return function


@pytest.mark.parametrize(
    ("module", "name", "parameters", "message"),
    [
        ("megatron.training.no_such_module", "x", (), "no_such_module"),
        ("megatron.training.training", "no_such_function", (), "no_such_function"),
        ("megatron.training.training", "evaluate", ("model", "no_such_parameter"), "no parameter no_such_parameter"),
    ],
)
def test_what_a_hook_misses_is_told_with_the_version(module, name, parameters, message):
    with pytest.raises(UnsupportedError) as error:
        hooks._find(hooks.Hook(module, name, parameters, keep), "0.19.9")
    assert message in str(error.value)
    assert "0.19.9" in str(error.value)
    assert error.value.where == f"{module}.{name}"


def test_nothing_changes_if_one_hook_does_not_fit(monkeypatch):
    import megatron.training.training as training

    before = training.evaluate
    good = hooks.Hook("megatron.training.training", "evaluate", ("model",), lambda stock: lambda *args: None)
    bad = hooks.Hook("megatron.training.training", "no_such_function", (), keep)
    monkeypatch.setattr(hooks, "table", lambda: [good, bad])
    monkeypatch.setattr(hooks.cpu, "install", lambda: False)
    monkeypatch.setattr(hooks.helpers, "use_compiled_helpers", lambda: True)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(UnsupportedError):
        hooks.install()
    assert training.evaluate is before


def test_errors_for_users_come_without_a_traceback(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import megatron_proxy.adaptor\n")
    done = interpreter.run(script, "--proxy-compression", "zstd", "--yaml-cfg", "x")
    assert done.returncode == 1
    assert done.stderr.startswith("megatron_proxy: error: --yaml-cfg: does not work with --proxy-compression")
    assert "Traceback" not in done.stderr
