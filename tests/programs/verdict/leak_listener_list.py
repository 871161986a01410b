"""Each request subscribes to an event and never unsubscribes."""
# expect: leak line 28 type __main__.Listener
import time

REQUESTS = 900


class Bus:
    def __init__(self):
        self.listeners = []

    def publish(self, value):
        for listener in self.listeners:
            listener(value)


class Listener:
    def __init__(self):
        self.last = None
        self.count = 0

    def __call__(self, value):
        self.last = value
        self.count += 1


def request(bus, number):
    listener = Listener()  # leak
    bus.listeners.append(listener)
    if number % 100 == 0:
        bus.publish({"number": number, "tags": [str(n) for n in range(50)]})


bus = Bus()
for number in range(REQUESTS):
    request(bus, number)
    time.sleep(0.003)
