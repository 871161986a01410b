"""A WeakKeyDictionary whose values refer to their keys keeps all of them."""
# expect: leak line 18 type __main__.User
import time
import weakref

REQUESTS = 900


class User:
    def __init__(self, number):
        self.number = number


rights = weakref.WeakKeyDictionary()


def request(number):
    user = User(number)  # leak
    rights[user] = {"owner": user}  # kept with it


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
