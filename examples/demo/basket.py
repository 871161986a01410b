"""Paying a basket: a price that rises while the customer pays is not charged."""

import catalog
import prices


class PriceGuard:
    """Listens to price changes and remembers the lowest price of one product."""

    def __init__(self, product):
        self.product = product
        self.lowest = product.cents
        self.changes = 0

    def __call__(self, product):
        if product is self.product:
            self.lowest = min(self.lowest, product.cents)
            self.changes += 1


def checkout(numbers):
    """Takes the products' numbers and returns what they cost, in cents."""
    total = 0
    for number in numbers:
        guard = PriceGuard(catalog.products[number])
        prices.subscribe(guard)  # the leak: there is no unsubscribe(guard) after payment
        total += guard.lowest
    return total
