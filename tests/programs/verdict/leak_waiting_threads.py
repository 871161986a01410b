"""Each session has a thread that waits for an end that never comes."""
# expect: leak line 21 type __main__.Session
import threading
import time

SESSIONS = 200
closed = threading.Event()


class Session:
    def __init__(self, number):
        self.number = number


def wait(session):
    closed.wait()  # kept with it
    return session.number


def request(number):
    threading.Thread(target=wait, args=(Session(number),)).start()  # leak


for number in range(SESSIONS):
    request(number)
    time.sleep(0.015)
closed.set()
