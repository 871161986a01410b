"""A table of rates is loaded anew twice a second; the old one is freed."""
# expect: none
import time

REQUESTS = 1000
rates = {}


class Rate:
    def __init__(self, number, version):
        self.number = number
        self.value = 1.0 + number / 1000 + version


def reload(version):
    global rates
    rates = {number: Rate(number, version) for number in range(2000)}


for number in range(REQUESTS):
    if number % 150 == 0:
        reload(number)
    rates[number].value += 1
    time.sleep(0.003)
