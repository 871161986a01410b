"""A class is made for the fields of each request, and every class is registered."""
# expect: leak line 18 type type
import time

REGISTRY = {}
REQUESTS = 600


class Row:
    def __init_subclass__(cls):
        REGISTRY[cls.__name__] = cls

    def __init__(self, values):
        self.values = values


def request(number):
    cls = type(f"Row{number}", (Row,), {"fields": ("id", "name", "price")})  # leak
    return [cls([n, n + 1, n + 2]) for n in range(10)]


for number in range(REQUESTS):
    request(number)
    time.sleep(0.004)
