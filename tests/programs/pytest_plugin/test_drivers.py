"""Tests that other plugins run, run again or tell in parts."""

import unittest

import app

runs = {}


def run_of(name):
    runs[name] = runs.get(name, 0) + 1
    return runs[name]


def test_passes_the_third_time():
    assert run_of("flaky") >= 3


def test_passes_the_third_time_and_leaks():
    assert run_of("flaky and leaking") >= 3
    app.bus.subscribe(print)


def test_subtests(subtests):
    for number in range(3):
        with subtests.test(number=number):
            assert number < 3


def test_subtests_that_leak(subtests):
    for number in range(2):
        with subtests.test(number=number):
            app.bus.subscribe(number)


class TestParts(unittest.TestCase):
    def setUp(self):
        self.kept = [object()]

    def test_parts(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertTrue(self.kept)
