"""The pages. Product pages are kept in a bounded cache; search pages are made
anew for each request, and so is everything that they are made of."""

from collections import OrderedDict
from html import escape
from threading import Lock

import catalog


class PageCache:
    """The pages used most recently, `capacity` at most."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.pages = OrderedDict()
        self.lock = Lock()

    def get(self, number):
        with self.lock:
            page = self.pages.get(number)
            if page is not None:
                self.pages.move_to_end(number)
            return page

    def put(self, number, page):
        with self.lock:
            self.pages[number] = page
            while len(self.pages) > self.capacity:
                self.pages.popitem(last=False)


class Page:
    def __init__(self, product):
        self.title = f"{product.name} at {euros(product.cents)}"
        self.body = "\n".join(
            [f"<h1>{escape(self.title)}</h1>"]
            + [f"<p>{escape(product.name)}: feature {n}</p>" for n in range(12)]
        )


class SearchRow:
    """One line of a search page; gone as soon as the page is sent."""

    def __init__(self, product, text):
        self.link = f"/product?id={product.number}"
        self.label = escape(product.name).replace(text, f"<b>{text}</b>")
        self.price = euros(product.cents)

    def html(self):
        return f'<li><a href="{self.link}">{self.label}</a> {self.price}</li>'


cache = PageCache(capacity=500)


def euros(cents):
    return f"{cents // 100}.{cents % 100:02} €"


def product_page(number):
    page = cache.get(number)
    if page is None:
        page = Page(catalog.products[number])
        cache.put(number, page)
    return page.body


def search_page(text):
    rows = [SearchRow(product, text) for product in catalog.find(text)]
    return "<ul>" + "".join([row.html() for row in rows]) + "</ul>"
