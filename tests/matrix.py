"""Prints what tests have given to record_property("matrix", (title, column, row, row, cell)),
one table for each title, at the end of the run. A plugin of conftest.py."""


def pytest_terminal_summary(terminalreporter):
    tables = {}
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == "matrix" and report.when == "call":
                title, column, *rows, cell = value
                tables.setdefault(title, {})[(*rows, column)] = cell
    for title, cells in sorted(tables.items()):
        columns = sorted({key[-1] for key in cells})
        terminalreporter.section(f"living with others: {title}")
        terminalreporter.write_line(
            f"{'':28}" + "".join(f"{column:20}" for column in columns).rstrip()
        )
        for row in dict.fromkeys(key[:-1] for key in cells):
            line = "".join(f"{cells.get((*row, column), '-'):20}" for column in columns)
            terminalreporter.write_line(f"{', '.join(row):28}{line}".rstrip())
