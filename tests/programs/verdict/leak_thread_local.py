"""Worker threads push a context for each job on a thread-local stack; the pop is
skipped when the job returns early, as most do."""
# expect: leak line 22 type __main__.Context
import queue
import threading
import time

JOBS = 900
local = threading.local()
jobs = queue.Queue()


class Context:
    def __init__(self, job):
        self.job = job
        self.user = None


def run_job(job):
    if not hasattr(local, "contexts"):
        local.contexts = []
    context = Context(job)  # leak
    local.contexts.append(context)
    words = [f"word {n}" for n in range(15)]
    if job % 10:
        return len(words)
    local.contexts.pop()
    return 0


def work():
    while (job := jobs.get()) is not None:
        run_job(job)


workers = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for worker in workers:
    worker.start()
for job in range(JOBS):  # kept with it
    jobs.put(job)
    time.sleep(0.003)
time.sleep(0.1)
