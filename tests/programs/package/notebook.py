"""The cell magic in a notebook's kernel."""

import nbclient
import nbformat
from traitlets.config import Config

book = nbformat.v4.new_notebook()
for source in (
    "%load_ext reftracer\nclass Node: pass\nkept = []",
    "%%reftrace -n traced\nkept.extend(Node() for _ in range(100))\nlen(kept)",
    "traced.survivors('Node')",
):
    book.cells.append(nbformat.v4.new_code_cell(source))
config = Config()
# Sockets in this folder: somebody else may take a port between the search for a free one and the
# kernel's start.
config.KernelManager.transport = "ipc"
config.KernelManager.ip = "kernel"
# Otherwise output that comes 4 s after its cell has ended is left out, without a word. Who starts
# this has a limit.
nbclient.NotebookClient(
    book, timeout=None, startup_timeout=600, iopub_timeout=600, raise_on_iopub_timeout=True,
    config=config,
).execute()
for cell in book.cells:
    for output in cell.outputs:
        print(output.get("text") or output.data["text/plain"])
