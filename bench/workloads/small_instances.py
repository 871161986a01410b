"""Instances of a small class, made, asked and dropped."""


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def moved(self, by):
        return Point(self.x + by, self.y + by)


def run():
    total = 0
    for i in range(1_500_000):
        total += Point(i, i).moved(1).x
    return total
