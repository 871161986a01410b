"""Attributes are looked up by names that are made anew, and some of the names are kept, too."""
# expect: leak line 18 type str
import time

REQUESTS = 1000
PER_REQUEST = 8


class Visitor:
    pass


visitor = Visitor()
seen = []


def name_of(number):
    return f"visit_{number}"  # leak


def visit(number):
    name = name_of(number)
    getattr(visitor, name, None)
    if number % 30 == 0:
        seen.append(name)


for number in range(REQUESTS):
    for part in range(PER_REQUEST):
        visit(number * PER_REQUEST + part)
    time.sleep(0.003)
