"""Megatron's log lines, read back."""

from megatron_proxy.tools.report.training_log import parse, plain

LOG = """\
> building train, validation, and test datasets for GPT ...
 [2026-01-02 03:04:05.123456] iteration       10/     300 | consumed samples:          160 | elapsed time per \
iteration (ms): 301.5 | learning rate: 1.000000E-03 | global batch size:    16 | lm loss: 5.100000E+00 | \
raw bpb: 6.250000E+00 | loss scale: 1.0 | grad norm: 1.234 | number of skipped iterations:   0 |
(min, max) time across ranks (ms):
    evaluate .......................................: (1.0, 2.0)
 [2026-01-02 03:04:09.000000] iteration       20/     300 | consumed samples:          320 | lm loss: 4.0E+00 |
----------------------------------------------------------------------------------------------------
 validation loss at iteration 20 on validation set | lm loss value: 3.500000E+00 | lm loss PPL: 3.311545E+01 | \
raw bpb value: 5.049000E+00 | raw bpb PPL: 1.5E+02 |
"""

SETS = [(20, "validation"), (300, "validation"), (300, "test")]


def test_training_and_validation_lines():
    log = parse(LOG.splitlines())
    assert [entry.iteration for entry in log.training] == [10, 20]
    assert log.training[0].values == {
        "consumed samples": 160.0,
        "elapsed time per iteration (ms)": 301.5,
        "learning rate": 1e-3,
        "global batch size": 16.0,
        "lm loss": 5.1,
        "raw bpb": 6.25,
        "loss scale": 1.0,
        "grad norm": 1.234,
        "number of skipped iterations": 0.0,
    }
    assert log.validation[0].values["lm loss"] == 3.5
    assert log.validation[0].values["lm loss PPL"] == 33.11545


def test_series_skips_intervals_without_the_field():
    log = parse(LOG.splitlines())
    assert log.series("raw bpb") == ([10], [6.25])
    assert log.series("raw bpb", validation=True) == ([20], [5.049])
    assert log.series("nothing") == ([], [])


def test_the_mode_is_a_word():
    log = parse([" iteration 10/ 300 | lm loss: 4.0 | compressed rate: 6.5E-01 | mode: translation_random |"])
    assert log.training[0].mode == "translation_random"
    assert log.training[0].values == {"lm loss": 4.0, "compressed rate": 0.65}
    assert parse(LOG.splitlines()).training[0].mode is None


def test_the_test_set_is_no_validation():
    log = parse([f" validation loss at iteration {n} on {name} set | lm loss value: 3.5E+00 |" for n, name in SETS])
    assert [(entry.iteration, entry.values["lm loss"]) for entry in log.validation] == [(20, 3.5), (300, 3.5)]


def test_a_terminals_colours_are_no_part_of_a_value():
    coloured = [
        "\x1b[2m iteration \x1b[1m10\x1b[0m/ 300 | lm loss: \x1b[38;5;2m4.0E+00\x1b[m | mode: \x1b[4msentinel\x1b[m |",
        "\x1b]8;;x\x1b\\ validation loss at iteration 20 on validation set | raw bpb value: \x1b[31m3.5\x1b[0m |",
    ]
    assert parse(coloured) == parse(map(plain, coloured))
    (entry,) = parse(coloured).training
    assert (entry.iteration, entry.values, entry.mode) == (10, {"lm loss": 4.0}, "sentinel")
    assert parse(coloured).validation[0].values == {"raw bpb": 3.5}


def test_what_a_terminal_is_told_goes_and_nothing_else():
    assert plain("a\x1b[1;31mb\x1b[Kc\x1b(Bd\x1b=e [0m]") == "abcde [0m]"
    # A title that is not closed ends with its line.
    assert plain("\x1b]0;title\nnext") == "\nnext"
    assert plain("plain \u009b é") == "plain \u009b é"
