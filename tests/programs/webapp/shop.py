"""A Flask application and 10,000 requests to it, over a real connection on loopback.

usage: shop.py [--leak]

With --leak, every request leaves its Visit in a list.
"""

import http.client
import sys
import threading
import time
from collections import OrderedDict

from flask import Flask, jsonify, render_template_string, request
from werkzeug.serving import WSGIRequestHandler, make_server

REQUESTS = 10_000
CLIENTS = 4
LEAK = "--leak" in sys.argv

app = Flask(__name__)
visits = []
recent = OrderedDict()

PAGE = "<ul>{% for row in rows %}<li>{{ row.name }}: {{ row.price }}</li>{% endfor %}</ul>"


class Visit:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.answered = False


class Row:
    def __init__(self, number):
        self.name = f"product {number}"
        self.price = number * 3


@app.before_request
def note_visit():
    visit = Visit(request.endpoint)  # leak
    if LEAK:
        visits.append(visit)


@app.get("/page/<int:number>")
def page(number):
    """Rendered pages are kept, 300 at most."""
    if number not in recent:
        recent[number] = render_template_string(PAGE, rows=[Row(number + n) for n in range(5)])
        if len(recent) > 300:
            recent.popitem(last=False)
    return recent[number]


@app.get("/stock/<int:number>")
def stock(number):
    return jsonify(number=number, left=number % 17)


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *args):
        pass


def client(number, port, failed):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for n in range(number, REQUESTS, CLIENTS):
        path = f"/page/{n * 7 % 1000}" if n % 2 else f"/stock/{n}"
        connection.request("GET", path, headers={"User-Agent": "client"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            failed.append(n)
        time.sleep(0.0005)
    connection.close()


def main():
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    failed = []
    clients = [
        threading.Thread(target=client, args=(n, server.port, failed)) for n in range(CLIENTS)
    ]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    server.shutdown()
    print(f"{REQUESTS - len(failed)} of {REQUESTS} requests answered")


main()
