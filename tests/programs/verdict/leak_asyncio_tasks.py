"""Each request starts a background task that waits for a shutdown that never comes."""
# expect: leak line 20 type _asyncio.Task
import asyncio

BACKGROUND = set()
REQUESTS = 900


async def follow(number, shutdown):
    await shutdown
    return number


async def request(number, shutdown):
    lines = [f"{number}: line {n}" for n in range(10)]
    checked = asyncio.create_task(asyncio.sleep(0, number))
    BACKGROUND.add(checked)
    checked.add_done_callback(BACKGROUND.discard)

    task = asyncio.create_task(follow(number, shutdown))  # leak
    BACKGROUND.add(task)
    task.add_done_callback(BACKGROUND.discard)
    return len(lines)


async def serve():
    shutdown = asyncio.get_running_loop().create_future()
    for number in range(REQUESTS):  # kept with it
        await request(number, shutdown)
        await asyncio.sleep(0.003)


loop = asyncio.new_event_loop()
loop.run_until_complete(serve())
