"""One text in forty is kept, of very many: fewer than CPython's cache of look-ups would hold."""
# expect: leak line 17 type str
import time

REQUESTS = 1000
PER_REQUEST = 8
seen = set()


def request(number):
    key = name_of(number)
    if number % 40 == 0:
        seen.add(key)


def name_of(number):
    return f"request {number}"  # leak


for number in range(REQUESTS):
    for part in range(PER_REQUEST):
        request(number * PER_REQUEST + part)
    time.sleep(0.003)
