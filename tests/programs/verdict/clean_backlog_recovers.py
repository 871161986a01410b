"""A queue grows while its consumer is away, and is worked off then."""
# expect: none
import time
from collections import deque

REQUESTS = 1000
queue = deque()


class Item:
    def __init__(self, number):
        self.number = number


for number in range(REQUESTS):
    queue.append(Item(number))
    if number > REQUESTS // 3:
        for _ in range(2):
            if queue:
                queue.popleft()
    time.sleep(0.003)
