"""The products: a table that is loaded once at start-up and stays."""

WORDS = ("amber", "birch", "cobalt", "dune", "ember", "fjord", "garnet", "heath")
KINDS = ("lamp", "chair", "kettle", "shelf", "clock", "rug", "mirror")

products = {}


class Product:
    def __init__(self, number, name, cents):
        self.number = number
        self.name = name
        self.cents = cents


def load_products(count=4000):
    for number in range(count):
        name = f"{WORDS[number % len(WORDS)]} {KINDS[number % len(KINDS)]} {number}"
        products[number] = Product(number, name, 500 + number * 37 % 9000)


def find(text, limit=40):
    """The products whose name has the text, at most `limit` of them."""
    found = []
    for product in products.values():
        if text in product.name:
            found.append(product)
            if len(found) == limit:
                break
    return found
