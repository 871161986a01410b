"""A queue without a bound, whose consumer is slower than its producer: all that is there
was born lately, and ever more is there."""
# expect: leak line 17 type __main__.Message
import asyncio

REQUESTS = 900


class Message:
    def __init__(self, number):
        self.number = number
        self.body = f"message {number}"


async def produce(queue):
    for number in range(REQUESTS):  # kept with it
        await queue.put(Message(number))  # leak
        if number % 2:
            await queue.get()
        await asyncio.sleep(0.003)


asyncio.run(produce(asyncio.Queue()))
