"""Events are collected and sent in batches of 120: memory goes up and down."""
# expect: none
import json
import time

REQUESTS = 1000
batch = []


class Event:
    def __init__(self, number):
        self.number = number
        self.kind = "click" if number % 3 else "view"


def send(events):
    return len(json.dumps([[event.number, event.kind] for event in events]))


def request(number):
    batch.append(Event(number))
    if len(batch) == 120:
        send(batch)
        batch.clear()


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
