"""The last 300 log records are kept in a deque(maxlen=300)."""
# expect: none
from collections import deque
import time

REQUESTS = 1000
RECENT = deque(maxlen=300)


class LogRecord:
    def __init__(self, number):
        self.message = f"request {number} took {number % 17} ms"
        self.level = number % 5


def request(number):
    RECENT.append(LogRecord(number))


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
