"""Rows that pile up until 6 million objects are alive: 2 million tuples, each
with an int and a float of its own."""

LIVE = 6_000_000


def run():
    rows = []
    for i in range(1_000_000, 1_000_000 + LIVE // 3):
        rows.append((i, i * 0.5))
    return rows
