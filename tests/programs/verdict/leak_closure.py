"""A handler keeps a history of what it handled, in a variable of its closure."""
# expect: leak line 18 type __main__.Call
import time

REQUESTS = 900


class Call:
    def __init__(self, number, text):
        self.number = number
        self.text = text


def make_handler():
    history = []

    def handle(number):
        call = Call(number, f"request {number}")  # leak
        history.append(call)
        return [part.upper() for part in call.text.split()]

    return handle


handle = make_handler()
for number in range(REQUESTS):  # kept with it
    handle(number)
    time.sleep(0.003)
