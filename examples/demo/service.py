"""A small shop service that has one memory leak, for `make demo`.

It answers HTTP requests on 127.0.0.1 from its own load generator for about ten
seconds and prints what it served. Nothing in the output hints at the leak:
that is what the trace is for.
"""

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import basket
import catalog
import pages
import prices
from load import LoadGenerator


class ShopHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: otherwise each answer waits for a delayed ACK

    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        try:
            if url.path == "/product":
                body = pages.product_page(int(query["id"][0]))
            elif url.path == "/search":
                body = pages.search_page(query["text"][0])
            elif url.path == "/checkout":
                total = basket.checkout([int(number) for number in query["id"]])
                body = json.dumps({"total": total})
            else:
                self.send_error(404)
                return
        except (KeyError, ValueError) as error:
            self.send_error(400, str(error))
            return
        self.answer(body.encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """A line per request would hide the summary at the end."""


class ShopServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the load lasts")
    parser.add_argument("--requests", type=int, default=0, help="so many, instead of a time")
    parser.add_argument("--rate", type=float, default=450.0, help="requests per second")
    parser.add_argument("--clients", type=int, default=6, help="connections of the load generator")
    arguments = parser.parse_args()

    catalog.load_products()
    server = ShopServer(("127.0.0.1", 0), ShopHandler)
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    feed = prices.PriceFeed(interval=0.25)
    feed.start()

    load = LoadGenerator(server.server_address, arguments.clients, arguments.rate)
    served, failed = load.run(arguments.seconds, arguments.requests)

    feed.stop()
    server.shutdown()
    server.server_close()
    print(f"served {served} requests, {failed} failed, {feed.changes} price changes")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
