"""A long start-up that imports much of the standard library, then a flat loop."""
# expect: none
import time

MODULES = """argparse asyncio calendar concurrent.futures configparser csv dataclasses decimal
difflib email.message fractions html.parser http.client inspect json logging.handlers optparse
pickle pprint shelve smtplib socketserver sqlite3 statistics tarfile tempfile textwrap tokenize
unittest urllib.request uuid wsgiref.handlers xml.dom.minidom xmlrpc.client zipfile""".split()
REQUESTS = 600

for module in MODULES:
    __import__(module)
    time.sleep(0.01)


def request(number):
    values = {f"key {n}": [n, number] for n in range(20)}
    return sorted(values)


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
