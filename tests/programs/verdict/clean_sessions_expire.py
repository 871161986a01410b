"""Sessions expire after 0.8 s and are swept now and then; work comes faster later on. The clock
counts the pauses, so that a busy machine changes nothing."""
# expect: none
import time

REQUESTS = 1300


class Session:
    def __init__(self, number):
        self.number = number
        self.since = now
        self.values = {"number": number}


now = 0.0
sessions = {}


def sweep():
    for number in [n for n, session in sessions.items() if now - session.since > 0.8]:
        del sessions[number]


for number in range(REQUESTS):
    sessions[number] = Session(number)
    if number % 30 == 0:
        sweep()
    pause = 0.004 if number < 400 else 0.002
    now += pause
    time.sleep(pause)
