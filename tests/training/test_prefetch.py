"""Made ahead: in order, at most so many, errors in their place, and nothing left running."""

import threading

import pytest

from hubtools.training.finetune.prefetch import ahead


def test_the_order_is_kept():
    assert list(ahead(lambda n: n * n, range(50))) == [n * n for n in range(50)]


def test_it_is_at_most_so_many_ahead():
    made, read = [], 0
    for _ in ahead(lambda n: made.append(n), range(20), depth=2):
        read += 1
        assert len(made) <= read + 2
    assert read == 20


def test_another_thread_makes_them():
    assert threading.get_ident() not in set(ahead(lambda n: threading.get_ident(), range(3)))


def test_an_error_comes_in_its_place():
    def make(n):
        if n == 3:
            raise ValueError("three")
        return n

    seen = []
    with pytest.raises(ValueError, match="three"):
        seen.extend(n for n in iterate(ahead(make, range(10)), seen))
    assert seen == [0, 1, 2]


def iterate(items, seen):
    for item in items:
        seen.append(item)
        if False:
            yield item


def test_a_reader_that_stops_leaves_no_thread():
    before = threading.active_count()
    made = []
    steps = ahead(made.append, range(1000))
    next(steps)
    steps.close()
    assert threading.active_count() == before and len(made) <= 4
