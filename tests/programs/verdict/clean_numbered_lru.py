"""A bounded cache by number is full, but of its numbers the small ones are not born: the
others still come."""
# expect: none
import functools
import time

REQUESTS = 2350


@functools.lru_cache(maxsize=1300)
def find(number):
    return {"number": number, "name": f"item {number}"}


for number in range(REQUESTS):
    find(number)
    if number % 2:
        time.sleep(0.003)
