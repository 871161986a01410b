"""A cache with room for 250 answers: it fills, then each new answer pushes one out."""
# expect: none
from collections import OrderedDict
import time

CACHE = OrderedDict()
CAPACITY = 250
REQUESTS = 1000


class Answer:
    def __init__(self, number):
        self.number = number
        self.text = f"answer to {number}"


def request(number):
    if number not in CACHE:
        CACHE[number] = Answer(number)
        if len(CACHE) > CAPACITY:
            CACHE.popitem(last=False)
    return CACHE[number].text


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
