"""Errors are kept "for the report at the end"; their tracebacks keep the frames
and all that their locals hold."""
# expect: leak line 21 type ValueError
import time

ERRORS = []
REQUESTS = 900


def parse(number):
    fields = [f"field {number}.{n}" for n in range(10)]
    if number % 2:
        return fields
    raise ValueError(f"line {number} has {len(fields)} fields")


def request(number):
    try:
        # All that stays is born in here: the error, its traceback and frame,
        # and the fields, which are a local variable of that frame.
        return parse(number)  # leak
    except ValueError as error:
        ERRORS.append(error)
        return []


for number in range(REQUESTS):  # kept with it
    request(number)
    time.sleep(0.003)
