"""Every request has a thread of its own and leaves one record behind: the leak is
one line, although no thread leaks more than one object."""
# expect: leak line 17 type __main__.Record
import threading
import time

REQUESTS = 600
AUDIT = []


class Record:
    def __init__(self, thread):
        self.thread = thread


def request():
    record = Record(threading.get_ident())  # leak
    AUDIT.append(record)
    return [f"line {n}" for n in range(10)]


for _ in range(REQUESTS):
    thread = threading.Thread(target=request)
    thread.start()
    thread.join()
    time.sleep(0.004)
