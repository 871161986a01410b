"""Keeps numpy's arrays: of objects, and views of others. Nobody leaks a reference."""

import time

import numpy


class Row:
    pass


class Cell:
    pass


class Table(numpy.ndarray):
    pass


columns, windows, tables = [], [], []
ROWS = 4
for number in range(300):
    rows = numpy.empty((2, ROWS // 2), dtype=object)
    rows.flat = [Row() for _ in range(ROWS)]  # born: rows
    columns.append(rows.T)  # a view: the array that owns the objects is its base
    samples = numpy.zeros(100)  # born: samples
    windows.append(samples[10:20])
    tables.append(numpy.array([Cell()], dtype=object).view(Table))  # born: cell
    del rows, samples
    time.sleep(0.004)
