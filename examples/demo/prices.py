"""Prices change while the shop is open; whoever wants to know subscribes."""

import random
import threading

import catalog

listeners = []


def subscribe(listener):
    listeners.append(listener)


def unsubscribe(listener):
    listeners.remove(listener)


def change(product, cents):
    product.cents = cents
    for listener in listeners:
        listener(product)


class PriceFeed(threading.Thread):
    """Changes a price every `interval` seconds."""

    def __init__(self, interval):
        super().__init__(name="price feed", daemon=True)
        self.interval = interval
        self.closing = threading.Event()
        self.changes = 0

    def run(self):
        choice = random.Random(1)
        while not self.closing.wait(self.interval):
            product = catalog.products[choice.randrange(len(catalog.products))]
            change(product, product.cents + choice.randrange(-50, 50))
            self.changes += 1

    def stop(self):
        self.closing.set()
        self.join()
