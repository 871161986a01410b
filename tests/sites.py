"""Questions that tests ask of a report (the JSON of `reftracer report --json`)."""


def bare(type_name):
    """The name of a type; that of a builtin may carry its module or not."""
    return type_name.removeprefix("builtins.")


def line_of(source, marker):
    """The number of the one line of the source text that ends with `# marker`."""
    found = [
        number
        for number, line in enumerate(source.splitlines(), 1)
        if line.rstrip().endswith("# " + marker)
    ]
    assert len(found) == 1, f"{len(found)} lines end with '# {marker}'"
    return found[0]


def is_at(frame, file, line):
    return (file is None or frame["file"].endswith(str(file))) and (
        line is None or frame["line"] == line
    )


def born_at(report, type_name=None, file=None, line=None, function=None):
    """The sites with this type whose innermost frame is at file and line."""
    found = []
    for site in report["sites"]:
        if type_name is not None and bare(site["type"]) != bare(type_name):
            continue
        if file is not None or line is not None or function is not None:
            if not site["stack"]:
                continue
            inner = site["stack"][0]
            if not is_at(inner, file, line):
                continue
            if function is not None and inner["function"] != function:
                continue
        found.append(site)
    return found


def passed_by(site, file, line):
    """Is there a frame at file and line anywhere in the site's stack?"""
    return any(is_at(frame, file, line) for frame in site["stack"])


def counts(sites):
    """(births, deaths, live) of the sites together."""
    return tuple(sum(site[key] for site in sites) for key in ("births", "deaths", "live"))


def counts_at(report, *args, **kwargs):
    return counts(born_at(report, *args, **kwargs))


def assert_balanced(report):
    """Births - deaths = live, for each site and over all, with nothing unexplained."""
    wrong = [s for s in report["sites"] if s["births"] - s["deaths"] != s["live"]]
    assert not wrong, f"{len(wrong)} sites where births - deaths != live, first: {wrong[0]}"
    totals = report["totals"]
    assert totals["births"] - totals["deaths"] == totals["live"], totals
    assert report["losses"]["unexplained"] == 0, report["losses"]


def assert_exact(report):
    assert_balanced(report)
    assert report["exact"] is True, report["losses"]
