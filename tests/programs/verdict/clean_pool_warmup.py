"""A pool of connections grows with the load until it has what the load needs."""
# expect: none
import time

REQUESTS = 1000
idle = []


class Connection:
    made = 0

    def __init__(self):
        Connection.made += 1
        self.number = Connection.made
        self.buffer = bytearray(200)


def acquire():
    return idle.pop() if idle else Connection()


def request(number):
    parallel = min(60, 1 + number // 6)
    connections = [acquire() for _ in range(parallel)]
    for connection in connections:
        connection.buffer[0] = number % 256
    idle.extend(connections)


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
