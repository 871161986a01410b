"""Every session registers itself in a WeakValueDictionary, which forgets it when
the request is over."""
# expect: none
import time
import weakref

REQUESTS = 1000
SESSIONS = weakref.WeakValueDictionary()


class Session:
    def __init__(self, number):
        self.number = number
        self.user = f"user {number % 40}"


def request(number):
    session = Session(number)
    SESSIONS[number] = session
    others = [other.user for other in SESSIONS.values()]
    return len(others)


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
