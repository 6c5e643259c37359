"""The catalogue of errors, the page that says which test produces each, and the messages that other pages quote."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import make_errors
from make_errors import Message

ROOT = Path(__file__).parents[2]
catalogue = functools.cache(make_errors.catalogue)
PAGE = make_errors.PAGE.read_text(encoding="utf-8")
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
# What is said of a line of the corpus is put into an error with its place; the others are Megatron's parser's.
NOT_OURS = re.compile(r"the line |the value of |pretrain_gpt\.py: error")


def test_every_message_is_produced_by_a_test():
    known = make_errors.read_page(PAGE)
    missing = [message for message in catalogue() if (message.file, message.text) not in known]
    assert missing == [], "write a test that produces it, then `make errors`"


def test_the_page_holds_nothing_else():
    texts = {(message.file, message.text) for message in catalogue()}
    assert set(make_errors.read_page(PAGE)) <= texts, "run `make errors`"


def test_tests_that_the_page_names_are_there():
    named = sorted(set(make_errors.read_page(PAGE).values()))
    assert [test for test in named if not make_errors.exists(test)] == []


def quoted():
    heads = re.findall(r"^### (.*)$", TROUBLESHOOTING, re.MULTILINE)
    return [text for head in heads for text in re.findall(r"`([^`]+)`", head)]


def test_what_troubleshooting_quotes_is_said():
    texts = {said for message in catalogue() for said in (message.text, message.what)}
    assert [text for text in quoted() if text not in texts and not NOT_OURS.match(text)] == []


def test_troubleshooting_covers_the_stages():
    assert len(quoted()) >= 40


SOURCE = """
_WHY = "for a reason"

class Thing:
    def check(self, value):
        if value:
            raise CorpusError(f"{value!r}{value} is bad", where=f"--{value}", fix="mend it")
        raise DatasetError(_WHY)

def later():
    return ProxyError(error.what, where=str(path))
"""


def test_messages_are_read_off_the_source(tmp_path, monkeypatch):
    monkeypatch.setattr(make_errors, "PACKAGE", tmp_path)
    (tmp_path / "errors.py").write_text((ROOT / "megatron_proxy" / "errors.py").read_text())
    (tmp_path / "a.py").write_text(SOURCE)
    assert [message for message in make_errors.catalogue() if message.file == "a.py"] == [
        Message("a.py", "Thing.check", "CorpusError", "--…", "… is bad"),
        Message("a.py", "Thing.check", "DatasetError", "", "for a reason"),
        Message("a.py", "later", "ProxyError", "…", "…"),
    ]


def test_errors_of_workers_belong_to_the_test_that_received_them():
    message = ["a.py", "f", "CorpusError", "", "bad"]
    records = [
        {"message": message, "test": "", "text": "bad: 1"},
        {"message": None, "test": "tests/test_a.py::test_b", "text": "bad: 1"},
        {"message": None, "test": "tests/test_a.py::test_c", "text": "bad: 2"},
    ]
    found = make_errors.read_seen(map(json.dumps, records))
    assert found == {Message(*message): {"tests/test_a.py::test_b"}}


def test_a_page_is_read_as_it_was_written():
    messages = [Message("a.py", "f", "CorpusError", "…", "a | b"), Message("b.py", "g", "DatasetError", "", "c")]
    tests = {("a.py", "…: a | b"): "tests/x.py::t", ("b.py", "c"): "tests/y.py::u"}
    assert make_errors.read_page(make_errors.render(messages, tests)) == tests


def test_an_error_is_recorded_in_whatever_process_it_is_made(tmp_path):
    recorded = tmp_path / "seen.jsonl"
    environment = {
        **os.environ,
        "MEGATRON_PROXY_ERRORS_SEEN": str(recorded),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "helpers" / "recording"), str(ROOT)]),
        "PYTEST_CURRENT_TEST": "tests/x.py::t[1] (call)",
    }
    command = [sys.executable, "-m", "megatron_proxy.cli", "verify", str(tmp_path / "nothing")]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (1, 0)
    (record,) = map(json.loads, recorded.read_text().splitlines())
    assert record["test"] == "tests/x.py::t"
    assert Message(*record["message"]).what == "… is not a prepared dataset: … cannot be read (…)"
