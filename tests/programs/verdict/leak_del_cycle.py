"""Connections and their channels are cycles; __del__ puts the connection back
into a list of idle ones, from which nobody takes."""
# expect: leak line 30 type __main__.Connection
import gc
import time

IDLE = []
REQUESTS = 900


class Channel:
    def __init__(self, connection):
        self.connection = connection


class Connection:
    def __init__(self, number):
        self.number = number
        self.sent = 0
        self.channel = Channel(self)

    def send(self, text):
        self.sent += len(text)

    def __del__(self):
        IDLE.append(self)


def request(number):
    connection = Connection(number)  # leak
    connection.send(", ".join([f"field {n}" for n in range(20)]))


for number in range(REQUESTS):  # kept with it
    request(number)
    if number % 60 == 59:
        gc.collect()
    time.sleep(0.003)
