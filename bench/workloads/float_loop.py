"""Arithmetic in a loop: three short-lived objects an iteration."""


def run():
    value = 0.0
    for i in range(5_000_000):
        value = value * 0.999999 + i * 0.5
    return value
