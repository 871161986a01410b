"""Tables of the package in pandas, polars and pyarrow: python consumers.py TRACE"""

import sys

import pandas
import polars
import pyarrow
import reftracer

report = reftracer.load(sys.argv[1])
diff = reftracer.diff(report, report)
assert report.sites and report.survivors() and diff.sites and diff.types
for table in (report.sites, report.growing, report.survivors(), diff.sites, diff.types):
    rows = table.rows()
    arrow = pyarrow.table(table)
    arrow.validate(full=True)
    assert arrow.to_pylist() == rows
    assert polars.DataFrame(table).to_dicts() == rows
    shape = (len(rows), len(table.columns()))
    assert pandas.DataFrame(table.columns()).shape == shape
    assert pandas.DataFrame.from_arrow(table).shape == shape
    assert pandas.DataFrame(table.rows()).shape == (shape if rows else (0, 0))
assert pyarrow.table(report).num_rows == len(report.sites)
assert any(row["line"] is None for row in report.sites.rows()) or pyarrow.table(report)

# A column outlives its table, and everything the end of Python.
column = pyarrow.table(report).column("type")
frame, table, capsule = polars.DataFrame(diff.types), pyarrow.table(diff.types), None
del arrow, report
assert column[0].as_py()


def raises():
    return [pyarrow.table(diff.sites), diff.sites.__arrow_c_stream__(), int("mine")]


try:
    raises()
except ValueError as error:
    assert "mine" in str(error)
capsule = diff.sites.__arrow_c_stream__()
print("fine")
