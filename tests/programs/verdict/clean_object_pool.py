"""Buffers are reused; now and then a worn-out one is replaced by a new one."""
# expect: none
import time

REQUESTS = 1000
SIZE = 40


class Buffer:
    def __init__(self):
        self.uses = 0
        self.bytes = bytearray(512)


pool = [Buffer() for _ in range(SIZE)]


def request(number):
    buffer = pool.pop(0)
    buffer.bytes[number % 512] = number % 256
    buffer.uses += 1
    pool.append(Buffer() if buffer.uses == 8 else buffer)


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
