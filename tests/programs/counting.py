"""1,000 instances are kept and 5,000 dropped, born at two lines."""


class Node:
    pass


def keep():
    return [Node() for _ in range(1000)]  # kept


def drop():
    for _ in range(5000):
        Node()  # dropped


kept = keep()
drop()
