"""Load rises all the time: ever more requests are in flight, each for 0.4 s (of a clock that
counts the pauses, so that a busy machine changes nothing)."""
# expect: none
import time
from collections import deque

STEPS = 1000


class Request:
    def __init__(self, number, deadline):
        self.number = number
        self.deadline = deadline


in_flight = deque()
for step in range(STEPS):
    now = step * 0.003
    for number in range(1 + step // 60):
        in_flight.append(Request(number, now + 0.4))
    while in_flight and in_flight[0].deadline < now:
        in_flight.popleft()
    time.sleep(0.003)
