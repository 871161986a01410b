"""Of the sessions that expire, one in four is forgotten: beside a level of live ones."""
# expect: leak line 21 type __main__.Session
import time
from collections import deque

REQUESTS = 1500


class Session:
    def __init__(self, number):
        self.number = number
        self.values = {"number": number}


sessions = {}
recent = deque()


def request(number):
    recent.append(number)
    sessions[number] = Session(number)  # leak
    if len(recent) > 150:
        oldest = recent.popleft()
        if oldest % 4:
            del sessions[oldest]


for number in range(REQUESTS):  # kept with it
    request(number)
    time.sleep(0.003)
