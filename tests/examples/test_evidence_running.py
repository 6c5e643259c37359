"""Running the grid: what is there is not run again, what is cut off goes on, what others run is left to them."""

import fcntl
import json
import subprocess
import time

import grid
import pytest
import results
import running
from grid import Cell
from running import FailedError, OutOfTimeError, Runner

CELLS = [Cell("bytes"), Cell("proxy:gzip"), Cell("bytes", vocabulary="own")]

# Stands in for compare.sh: writes down what it was asked for, and what the cell's folder holds when it is done.
SCRIPT = """\
echo "$RUNS $STEPS $SEED $PADDING $DATA ${3:-}" >> "$CALLS"
[ "${3:-}" != prepare ] || exit 0
case $RUNS in "$FAILING") echo "it is broken" >&2; exit 3 ;; "$SLOW") sleep 60 & wait ;; esac
mkdir -p "$2/runs/${RUNS/:/-}"
echo '{"view": "raw", "bpb": 3.5, "bytes": 200, "documents": 4}' > "$2/runs/${RUNS/:/-}/evaluate-raw.json"
echo '{"prompts": {"clean": {"bpb": 3.0}, "case": {"bpb": 3.25}}}' > "$2/runs/${RUNS/:/-}/robustness.json"
echo "$ANSWER" | sed "s/STEPS/$STEPS/; s/TOKENS/$((STEPS * 2048))/; s/PADDED/${PADDED:-$PADDING}/" > "$2/compare.json"
"""
TOLD = dict.fromkeys(running._KEPT_FIGURES) | {"about": {"versions": "one 1.0"}}
ANSWER = json.dumps([TOLD]).replace('"steps": null', '"steps": STEPS').replace('"tokens": null', '"tokens": TOKENS')
INSPECTED = {
    "compressor": "gzip",
    "stability": {"random": 1.0, "span": 0.9, "repeats_kept": 0.0},
    "bytes_per_code": 4.5,
    "frequencies": {"literal_bytes": 0.0},
    "entropy_per_byte": 1.75,
}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Give a runner with the stand-in in compare.sh's place, and what that was asked for."""
    (tmp_path / "compare.sh").write_text(SCRIPT)
    monkeypatch.setattr(running, "EXAMPLES", tmp_path)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("ANSWER", ANSWER.replace('"padded_vocabulary": null', '"padded_vocabulary": PADDED'))
    for name in ("FAILING", "SLOW"):
        monkeypatch.setenv(name, "none")
    kept = tmp_path / "results"
    kept.mkdir()
    results.save_compressors([INSPECTED | {"compressor": name} for name in grid.COMPRESSORS], kept)

    def runner(seconds: float | None = None) -> Runner:
        (tmp_path / "calls").write_text("")
        return Runner(tmp_path / "work", kept, None if seconds is None else time.monotonic() + seconds)

    runner.calls = lambda: [line.split(" ") for line in (tmp_path / "calls").read_text().splitlines()]
    return runner


def test_what_is_missing_is_run_in_order(asked, tmp_path):
    (one, other) = asked().run(CELLS[:2])
    data = str(tmp_path / "work/data")
    assert asked.calls() == [
        ["bytes", "500", "1", "1280", data, "prepare"],
        ["bytes", "500", "1", "1280", data, ""],
        ["proxy:gzip", "500", "1", "1280", data, ""],
    ]
    assert (one.cell, one.raw, one.held_out) == (CELLS[0], 3.5, {"bytes": 200, "documents": 4})
    assert (other.robustness, other.versions) == ({"clean": 3.0, "case": 3.25}, "one 1.0")
    assert results.load(tmp_path / "results") == [one, other]
    assert list(asked().run(CELLS[:2])) == []
    assert len(asked.calls()) == 1
    assert results.compressors(tmp_path / "results")["gzip"]["entropy_per_byte"] == 1.75


def test_a_vocabulary_of_its_own(asked, monkeypatch):
    monkeypatch.setenv("PADDED", "384")
    (one,) = asked().run(CELLS[2:])
    assert asked.calls()[1][:4] == ["bytes", str(CELLS[2].steps), "1", str(grid.OWN_MULTIPLE)]
    assert one.command == (
        f"RUNS=bytes SIZE=0.3M STEPS={CELLS[2].steps} SEED=1 PADDING=128 DATA=FOLDER/data OMP_NUM_THREADS=1 "
        "examples/compare.sh examples/compare/cpu.env FOLDER/cells/0.3M-500-bytes-own-1"
    )


def test_one_that_fails_does_not_keep_the_others_from_running(asked, monkeypatch, tmp_path):
    monkeypatch.setenv("FAILING", "bytes")
    failure, other = asked().run(CELLS[:2])
    assert isinstance(failure, FailedError)
    assert "it is broken" in str(failure)
    assert other.cell == CELLS[1]
    assert not results.has(CELLS[0], tmp_path / "results")


def test_what_was_trained_must_be_what_the_grid_says(asked, monkeypatch):
    monkeypatch.setenv("PADDED", "1408")
    (failure,) = asked().run(CELLS[:1])
    assert "other steps, vocabulary or ids than the grid's (500, 1280, 1024000)" in str(failure)


@pytest.mark.long
def test_time_that_is_over_ends_what_runs_and_its_seconds_count(asked, monkeypatch, tmp_path):
    monkeypatch.setenv("SLOW", "bytes")
    began = time.monotonic()
    with pytest.raises(OutOfTimeError):
        list(asked(2.0).run(CELLS[:1]))
    assert 2.0 <= time.monotonic() - began < 30.0
    spent = tmp_path / "work/cells/0.3M-500-bytes-1.seconds"
    assert 0.0 < float(spent.read_text()) < 30.0
    spent.write_text("100.0\n")
    monkeypatch.setenv("SLOW", "none")
    (one,) = asked().run(CELLS[:1])
    assert one.seconds >= 100.0
    with pytest.raises(OutOfTimeError):
        list(asked(0.0).run(CELLS))
    assert asked.calls() == []


def test_a_cell_that_another_process_runs_is_left_to_it(asked, tmp_path):
    cells = tmp_path / "work/cells"
    cells.mkdir(parents=True)
    with (cells / f"{CELLS[0].name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (one,) = asked().run(CELLS[:2])
    assert one.cell == CELLS[1]


@pytest.mark.long
def test_every_cell_is_a_run_that_the_script_knows(tmp_path):
    """A dry run of each arm, in the words that the grid gives the script."""
    for arm in dict.fromkeys(cell.arm for cell in grid.CELLS):
        cell = Cell(arm)
        environment = {"PATH": "/usr/bin:/bin", "DRY_RUN": "1", "PYTHON": "true", **cell.environment()}
        compare = ["bash", running.EXAMPLES / "compare.sh", running.EXAMPLES / "compare/cpu.env", tmp_path / "out"]
        shown = subprocess.run(compare, env=environment, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        (training,) = [line for line in shown.stderr.splitlines() if "--train-iters 500" in line]
        assert "--seed 1 " in training
        assert ("--proxy-format-embedding" in training) == arm.endswith("+")
        assert ("--proxy-mode interleaved" in training) == arm.startswith("interleaved")
        assert ("--proxy-peak-rate 0.5 " in training) == ("@0.5" in arm)
