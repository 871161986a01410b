"""Modules are imported one after the other, when a request needs them first."""
# expect: none
import importlib
import time

REQUESTS = 900
MODULES = """json sqlite3 unittest asyncio xml.dom.minidom email.mime.text http.client csv decimal
    fractions statistics tarfile zipfile logging.config argparse""".split()

for number in range(REQUESTS):
    if number % 60 == 0:
        importlib.import_module(MODULES[number // 60])
    time.sleep(0.003)
