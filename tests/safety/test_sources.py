"""What the package's sources do not do, read off the sources: a rule that nobody can forget to keep."""

import ast
from functools import cache
from pathlib import Path

import megatron_proxy

PACKAGE = Path(megatron_proxy.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
CONFINED = PACKAGE / "evaluation" / "code" / "confined.py"
SANDBOX = PACKAGE / "evaluation" / "code" / "sandbox.py"
LOADING = PACKAGE / "model" / "checkpoint" / "safety.py"
# What comes through these pipes comes from processes that this package has started.
PIPES = PACKAGE / "common" / "pipes.py"

UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
REACHING_OUT = {"requests", "urllib", "http", "ftplib", "smtplib", "aiohttp", "httpx", "huggingface_hub", "telnetlib"}


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree):
    """First parts of all absolute imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


@cache
def calls(path):
    """(dotted name as it is written, its keywords) of every call."""
    return [
        (ast.unparse(node.func), {word.arg: getattr(word.value, "value", None) for word in node.keywords})
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
    ]


def where(predicate):
    """The files in which some call answers to a predicate."""
    return {path for path in FILES if any(predicate(*call) for call in calls(path))}


def test_nothing_that_unpickles_or_reaches_out_is_imported():
    assert {path for path in FILES if set(imported(tree_of(path))) & UNPICKLING} == {PIPES, LOADING}
    assert not {path for path in FILES if set(imported(tree_of(path))) & REACHING_OUT}


def test_pipes_unpickle_what_a_process_of_ours_has_sent():
    parallel = PACKAGE / "common" / "parallel.py"
    assert where(lambda name, _: name.split(".")[-1] in ("Pipe", "receive")) == {parallel}
    assert where(lambda name, _: name.endswith("Connection")) == set()
    sockets = [name for path in (parallel, PIPES) for name, _ in calls(path) if name.startswith("socket.")]
    assert sockets == ["socket.socketpair"]


def test_an_index_of_torchs_names_what_is_listed_alone():
    """pickle is used for nothing but an unpickler that looks names up by itself."""
    (unpickler,) = [
        node for node in ast.walk(tree_of(LOADING)) if isinstance(node, ast.ClassDef) and "pickle" in ast.unparse(node)
    ]
    assert [ast.unparse(base) for base in unpickler.bases] == ["pickle.Unpickler"]
    assert "find_class" in [node.name for node in unpickler.body if isinstance(node, ast.FunctionDef)]
    assert ast.unparse(tree_of(LOADING)).count("pickle.") == 1


def test_torch_loads_in_one_place_and_weights_only():
    assert where(lambda name, _: name == "torch.load") == {LOADING}
    loads = [words for name, words in calls(LOADING) if name == "torch.load"]
    assert [words["weights_only"] for words in loads] == [True]


def test_numpy_loads_without_pickle():
    assert not where(lambda name, words: name in ("np.load", "numpy.load") and words.get("allow_pickle") is not False)


def test_programs_are_run_in_one_place_which_is_confined():
    assert where(lambda name, _: name in ("exec", "eval")) == {CONFINED}
    assert where(lambda name, _: name.startswith(("os.system", "os.popen", "os.exec", "os.spawn"))) == set()
    # Besides the sandbox, only processes of this very package are started, by the running interpreter.
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("subprocess."):
                assert ast.unparse(node.args[0]).startswith(("[sys.executable", "command")), path
                assert path == SANDBOX or "sys.executable" in ast.unparse(tree_of(path)), path
    assert not where(lambda _, words: words.get("shell") not in (None, False))


def test_the_sandbox_is_reached_by_the_flag_alone():
    assert where(lambda name, _: name == "Sandbox") == {PACKAGE / "commands" / "evaluate_code.py"}
    tree = tree_of(PACKAGE / "commands" / "evaluate_code.py")
    run = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run")
    told = [number for number, node in enumerate(run.body) if "_tell(" in ast.unparse(node)]
    refused = next(
        number for number, node in enumerate(run.body)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "not args.allow_code_execution"
    )  # fmt: skip
    assert isinstance(run.body[refused].body[-1], ast.Return)
    assert min(told) > refused


def test_no_code_comes_with_a_model():
    assert not where(lambda _, words: words.get("trust_remote_code") not in (None, False))
    assert not where(lambda name, _: name.endswith((".from_pretrained", "hf_hub_download", "get_encoding")))
