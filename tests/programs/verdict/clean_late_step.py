"""Two thirds into the run a request needs something new for the first time: a
module is imported and a table is made, once."""
# expect: none
import time

REQUESTS = 1000
PRICES = {}


class Price:
    def __init__(self, number):
        self.number = number
        self.cents = 100 + number


def request(number):
    if number == REQUESTS * 2 // 3:
        import xml.etree.ElementTree  # noqa: F401

        for product in range(3000):
            PRICES[product] = Price(product)
    return [f"row {n}" for n in range(10)]


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
