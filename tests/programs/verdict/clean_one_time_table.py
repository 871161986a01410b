"""A big table is made at start-up and stays; requests only look things up."""
# expect: none
import time

REQUESTS = 800


class City:
    def __init__(self, number):
        self.name = f"city {number}"
        self.people = number * 1000


def load():
    return {number: City(number) for number in range(20000)}


def request(number):
    found = [TABLE[(number * 7 + n) % len(TABLE)] for n in range(10)]
    return ", ".join([city.name.title() for city in found])


TABLE = load()
for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
