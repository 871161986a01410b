"""asyncio tasks in two threads, in a sub-interpreter, and some that are left of a thread that
has ended; says what they are, by asyncio's own functions.

Each task is said with its name, the functions of its coroutines (innermost first) and the
names of the tasks that wait for it.
"""

import asyncio
import json
import sys
import threading

import settled

try:
    from concurrent import interpreters
except ImportError:
    interpreters = None

ready = threading.Semaphore(0)
for_ever = threading.Lock()
for_ever.acquire()


async def leaf():
    await asyncio.get_running_loop().create_future()


async def middle():
    await leaf()


class Awaitable:
    def __await__(self):
        yield from leaf().__await__()


async def waits_for_object():
    await Awaitable()


async def numbers():
    yield 1
    await leaf()
    yield 2


async def waits_for_generator():
    async for _ in numbers():
        pass


async def waits_for_anext():
    iterator = numbers()
    await anext(iterator)
    await anext(iterator, None)


async def group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(middle(), name="of group 1")
        tasks.create_task(waits_for_object(), name="of group 2")


async def gatherer():
    await asyncio.gather(*(asyncio.create_task(middle(), name=f"gathered {i}") for i in range(3)))


async def waiter(task):
    await task


async def shielded(task):
    await asyncio.shield(task)


async def runs():
    deepest(3)


def deepest(n):
    if n:
        return deepest(n - 1)
    ready.release()
    for_ever.acquire()


def say(loop_tasks):
    return sorted(task.get_name() for task in loop_tasks)


async def scene(running, prefix):
    tasks = [
        asyncio.create_task(group(), name=prefix + "group"),
        asyncio.create_task(gatherer(), name=prefix + "gather"),
        asyncio.create_task(waits_for_generator(), name=prefix + "generator"),
        asyncio.create_task(waits_for_anext(), name=prefix + "anext"),
        asyncio.create_task(middle(), name=prefix + "shared Ω"),
    ]
    tasks += [asyncio.create_task(waiter(tasks[-1]), name=prefix + f"waiter {i}") for i in range(5)]
    # A name that nobody has asked for yet is a number.
    nameless = asyncio.create_task(leaf())
    for _ in range(10):
        await asyncio.sleep(0)
    if running:
        asyncio.create_task(runs(), name=prefix + "runs")
    else:
        ready.release()
    await asyncio.get_running_loop().create_future()
    return nameless


SUB = """
import asyncio
async def below():
    await asyncio.get_running_loop().create_future()
async def scene():
    task = asyncio.create_task(below(), name="of a sub-interpreter")
    await asyncio.sleep(0)
    import os
    os.write(%d, b"x")
    await task
asyncio.run(scene())
"""


def orphans(kept):
    """Ends with a task that is still waiting."""
    loop = asyncio.new_event_loop()

    async def lonely():
        await leaf()

    async def starts():
        kept.append(asyncio.create_task(lonely(), name="left over"))
        await asyncio.sleep(0)

    loop.run_until_complete(starts())
    kept.append(loop)


def main():
    import os

    kept = []
    thread = threading.Thread(target=orphans, args=(kept,))
    thread.start()
    thread.join()
    threading.Thread(target=lambda: asyncio.run(scene(False, "a ")), daemon=True).start()
    ready.acquire()
    if interpreters:
        reading, writing = os.pipe()
        sub = interpreters.create()
        threading.Thread(target=sub.exec, args=(SUB % writing,), daemon=True).start()
        os.read(reading, 1)

    def report():
        ready.acquire()
        # The loops of the other thread and of the sub-interpreter, and `deepest`.
        settled.wait_until_inside(epoll=2 if interpreters else 1, futex=1)
        print(json.dumps({"interpreters": bool(interpreters)}), flush=True)
        sys.stdin.read()

    threading.Thread(target=report, daemon=True).start()
    asyncio.run(scene(True, "b "))


main()
