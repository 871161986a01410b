"""Sessions are stored in a module's dict at login; logout forgets to drop them."""
# expect: leak line 20 type __main__.Session
import time

SESSIONS = {}
REQUESTS = 900


class Session:
    def __init__(self, number):
        self.number = number
        self.user = f"user{number % 50}"
        self.open = True

    def close(self):
        self.open = False


def login(number):
    session = Session(number)  # leak
    SESSIONS[number] = session
    return session


def request(number):
    session = login(number)
    answer = [f"{session.user}: item {n}" for n in range(20)]
    session.close()
    return len("".join(answer))


for number in range(REQUESTS):  # kept with it
    request(number)
    time.sleep(0.003)
