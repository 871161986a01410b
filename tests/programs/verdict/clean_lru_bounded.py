"""An lru_cache(maxsize=256), asked for something new each time."""
# expect: none
import functools
import time

REQUESTS = 1000


class Quote:
    def __init__(self, product, day):
        self.product = product
        self.day = day
        self.cents = product * 31 + day


@functools.lru_cache(maxsize=256)
def quote(product, day):
    return Quote(product, day)


for number in range(REQUESTS):
    quote(number % 300, number)
    time.sleep(0.003)
