"""A sub-interpreter has ended long ago. Of the sessions, most end as well."""
# expect: leak line 31 type __main__.Session
import sys
import time

REQUESTS = 900

if sys.version_info >= (3, 14):
    from concurrent import interpreters

    interpreter = interpreters.create()
    interpreter.exec("started = True")
    interpreter.close()
else:
    import _interpreters

    interpreter = _interpreters.create()
    _interpreters.exec(interpreter, "started = True")
    _interpreters.destroy(interpreter)


class Session:
    def __init__(self, number):
        self.number = number


lost = []


def request(number):
    session = Session(number)  # leak
    if number % 4 == 0:
        lost.append(session)


for number in range(REQUESTS):  # kept with it
    request(number)
    time.sleep(0.003)
