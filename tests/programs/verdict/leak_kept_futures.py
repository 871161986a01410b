"""The futures of a thread pool are remembered, and with them what the workers returned."""
# expect: leak line 22 type concurrent.futures._base.Future
import time
from concurrent.futures import ThreadPoolExecutor

REQUESTS = 900


class Result:
    def __init__(self, number):
        self.number = number
        self.lines = [str(number)]


def work(number):
    return Result(number)  # kept with it


jobs = []
with ThreadPoolExecutor(4) as pool:
    for number in range(REQUESTS):
        jobs.append(pool.submit(work, number))  # leak
        time.sleep(0.003)
