"""The cell magic in IPython, without a kernel."""

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance(colors="nocolor")
for cell in (
    "%load_ext reftracer",
    "class Node: pass\nkept = []",
    "%%reftrace -n traced\n"
    "kept.extend(Node() for _ in range(100))\n"
    "for _ in range(200): Node()\n"
    "len(kept)",
    "%%reftrace\nkept.append(Node())\nraise KeyError('mine')",
    "%%reftrace --frobnicate\n1",
    "%%reftrace",
    "print(traced.survivors('Node'))",
    "import reftracer\nwith reftracer.trace() as outer:\n"
    "    get_ipython().run_cell_magic('reftrace', '', 'kept.append(Node())')",
    "%unload_ext reftracer",
    "%%reftrace\n1",
):
    print(f"--- {cell.splitlines()[0]}")
    shell.run_cell(cell)
