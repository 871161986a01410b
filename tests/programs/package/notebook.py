"""The cell magic in a notebook's kernel."""

import nbclient
import nbformat

book = nbformat.v4.new_notebook()
for source in (
    "%load_ext reftracer\nclass Node: pass\nkept = []",
    "%%reftrace -n traced\nkept.extend(Node() for _ in range(100))\nlen(kept)",
    "traced.survivors('Node')",
):
    book.cells.append(nbformat.v4.new_code_cell(source))
nbclient.NotebookClient(book, timeout=60).execute()
for cell in book.cells:
    for output in cell.outputs:
        print(output.get("text") or output.data["text/plain"])
