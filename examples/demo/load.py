"""The load generator: a few clients with a connection each, at a steady rate."""

import random
import threading
import time
from http.client import HTTPConnection

import catalog


class Client(threading.Thread):
    def __init__(self, number, address, rate, goes_on):
        super().__init__(name=f"client {number}")
        self.choice = random.Random(number)
        self.address = address
        self.rate = rate
        self.goes_on = goes_on
        self.served = 0
        self.failed = 0

    def next_path(self):
        dice = self.choice.random()
        if dice < 0.5:
            return f"/product?id={self.choice.randrange(len(catalog.products))}"
        if dice < 0.7:
            return f"/search?text={self.choice.choice(catalog.WORDS)}"
        numbers = [self.choice.randrange(len(catalog.products)) for _ in range(3)]
        return "/checkout?" + "&".join(f"id={number}" for number in numbers)

    def run(self):
        connection = HTTPConnection(*self.address)
        due = time.monotonic()
        while self.goes_on(self.served + self.failed):
            connection.request("GET", self.next_path())
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                self.served += 1
            else:
                self.failed += 1
            due += 1 / self.rate
            time.sleep(max(0, due - time.monotonic()))
        connection.close()


class LoadGenerator:
    def __init__(self, address, clients, rate):
        self.address = address
        self.clients = clients
        self.rate = rate

    def run(self, seconds, requests=0):
        """Sends requests for that long, or so many, however long it takes; returns how many
        were served and how many failed."""
        end = time.monotonic() + seconds

        def goes_on(sent):
            return sent < requests / self.clients if requests else time.monotonic() < end

        clients = [
            Client(number, self.address, self.rate / self.clients, goes_on)
            for number in range(self.clients)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return sum(c.served for c in clients), sum(c.failed for c in clients)
