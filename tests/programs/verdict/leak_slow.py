"""One object in many is kept, some twenty-five a second, beside much that is not."""
# expect: leak line 21 type __main__.Entry
import json
import time

REQUESTS = 1000


class Entry:
    def __init__(self, number):
        self.number = number
        self.text = f"entry {number}"


journal = []


def request(number):
    json.loads(json.dumps({"numbers": [1, 2, number]}))
    if number % 12 == 0:
        journal.append(Entry(number))  # leak


for number in range(REQUESTS):  # kept with it
    request(number)
    time.sleep(0.003)
