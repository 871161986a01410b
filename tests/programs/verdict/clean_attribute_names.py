"""The library looks attributes up by names that it makes anew: CPython keeps some thousand
of these strings in its cache of look-ups, until it is full."""
# expect: none
import datetime
import email.utils
import time

REQUESTS = 900
for number in range(REQUESTS):
    email.utils.format_datetime(datetime.datetime.now(datetime.UTC))
    time.sleep(0.003)
