"""One short thread after the other, until its input ends. They have by turns two names, which are
those of their functions."""

import json
import os
import sys
import threading
import time


def end_with_the_input():
    sys.stdin.read()
    os._exit(0)


def even():
    time.sleep(0.01)


def odd():
    time.sleep(0.01)


threading.Thread(target=end_with_the_input, daemon=True).start()
print(json.dumps({}), flush=True)
while True:
    for function in even, odd:
        thread = threading.Thread(target=function, name=function.__name__)
        thread.start()
        thread.join()
