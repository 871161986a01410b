"""Trees of tuples built and dropped: objects that live for a while, with GC."""


def tree(depth):
    if depth == 0:
        return None, None
    return tree(depth - 1), tree(depth - 1)


def count(node):
    left, right = node
    if left is None:
        return 1
    return 1 + count(left) + count(right)


def run():
    long_lived = tree(14)
    total = 0
    for depth in range(4, 15, 2):
        for _ in range(2 ** (14 - depth)):
            total += count(tree(depth))
    return total + count(long_lived)
