"""Every request leaves a cycle of parents and children; the garbage collector
comes for them now and then."""
# expect: none
import time

REQUESTS = 1000


class Node:
    def __init__(self, parent=None):
        self.parent = parent
        self.children = []
        if parent is not None:
            parent.children.append(self)


def request(number):
    document = Node()
    for _ in range(8):
        Node(Node(document))
    return len(document.children) + number


for number in range(REQUESTS):
    request(number)
    time.sleep(0.003)
