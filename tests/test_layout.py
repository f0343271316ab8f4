"""Pages are no wider than what they are read on, and lose nothing without a word."""

from clusterplan.report.layout import Page

RUNS = [
    ("a-run-20261125T130848-e744", "failed", "exit code 3; no new checkpoint to go on from"),
    ("b", "running", ""),
]


def page(width, fill):
    made = Page(width, colour=False)
    fill(made)
    return str(made).splitlines()


def test_text_that_has_little_room_goes_below_its_row():
    shown = page(60, lambda p: p.table(("run", "state", ""), RUNS))
    assert shown[1:3] == [
        "a-run-20261125T130848-e744  failed",
        "    exit code 3; no new checkpoint to go on from",
    ]
    assert len(shown) == 4


def test_a_row_with_room_keeps_its_text():
    assert page(90, lambda p: p.table(("run", "state", ""), RUNS))[1].endswith(
        "no new checkpoint to go on from"
    )


def test_columns_that_do_not_fit_are_left_out_and_named():
    shown = page(16, lambda p: p.table(("a", "b", "c"), [("1" * 10, "22", "3")], (2,), ("b",)))
    assert shown == ["a           c", "1111111111  3", "(b left out to", "  fit into 16", "  columns)"]


def test_empty_columns_go_first_and_unnamed():
    shown = page(11, lambda p: p.table(("a", "empty", "c"), [("1" * 5, "", "3")], (2,), ("a",)))
    assert shown == ["a      c", "11111  3"]


def test_no_word_is_broken():
    shown = page(20, lambda p: p.sentence("see https://example.org/a-long/address-of-a-page and --max-steps"))
    assert "  https://example.org/a-long/address-of-a-page" in shown
