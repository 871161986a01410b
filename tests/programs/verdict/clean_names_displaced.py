"""Names that were looked up stay in CPython's cache of look-ups, each of them, until others
take their place: here in one go, just before the program ends."""
# expect: none
import time

REQUESTS = 150
OTHERS = 20_000


class Visitor:
    pass


visitor = Visitor()


def visit(number):
    getattr(visitor, f"visit_{number}", None)


def look_up(names):
    for name in names:
        getattr(visitor, name, None)


for number in range(REQUESTS):
    visit(number)
    time.sleep(0.02)
look_up([f"other name {number}" for number in range(OTHERS)])
