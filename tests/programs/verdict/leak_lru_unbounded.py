"""An lru_cache without a bound, asked for something new each time."""
# expect: leak line 25 type __main__.Quote
import functools
import time

REQUESTS = 900


class Quote:
    def __init__(self, product, day):
        self.product = product
        self.day = day
        self.cents = product * 31 + day


@functools.lru_cache(maxsize=None)
def quote(product, day):
    steps = [product * n for n in range(30)]
    result = Quote(product, day)
    result.cents += sum(steps)
    return result


def request(number):
    return quote(number % 300, number)  # leak


for number in range(REQUESTS):  # kept with it
    request(number)
    request(number)
    time.sleep(0.003)
