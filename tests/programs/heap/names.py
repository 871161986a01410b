"""Asks for the name of each kind of reference; prints what is called otherwise than expected,
then "all named"."""

import asyncio
import collections
import contextvars
import functools
import gc
import itertools
import sys
import threading
import weakref

import probe

(REFERENCE, ATTRIBUTE, DICT_KEY, DICT_VALUE, ITEM, MEMBER, CELL, LOCAL, STACK, CLOSURE, GLOBALS,
 FUNCTION, SELF, CALLBACK, TYPE, TYPE_SLOT, MODULE_STATE, FRAME, EXCEPTION, DEFAULT, CODE,
 DESCRIPTOR) = range(22)  # fmt: skip
ROOT_MODULE, ROOT_LOCAL, ROOT_STACK = 64, 65, 66
ROOT_INTERPRETER, ROOT_THREAD, ROOT_STATIC_TYPE, ROOT_ATEXIT = 69, 70, 71, 72


class Target:
    pass


class Inline:
    def method(self):
        pass

    @classmethod
    def of_class(cls):
        pass

    @property
    def value(self):
        return 1


class Slots:
    __slots__ = ("one", "two")


class SlotsBelow(Slots):
    __slots__ = ("three",)


class IntWithDict(int):
    pass


class TupleWithDict(tuple):
    pass


class ListWithSlot(list):
    __slots__ = ("extra",)


class Meta(type):
    pass


wrong = []


def check(holder, target, kind, label="", index=0):
    found = probe.label(holder, target)
    if (
        found[0] != kind
        or (label is not None and found[2] != label)
        or (kind == ITEM and found[1] != index)
    ):
        wrong.append(f"{type(holder).__name__}: {found}, not {(kind, index, label)}")
    if id(target) not in [at for at, _ in probe.edges(holder)]:
        wrong.append(f"{type(holder).__name__} -> {label}: no edge")


def instances():
    t = Target()
    one = Inline()
    one.first, one.callback = [1], t
    check(one, t, ATTRIBUTE, "callback")
    check(one, Inline, TYPE)
    two = Inline()
    two.first, two.callback = [1], t
    check(two, vars(two), ATTRIBUTE, "__dict__")
    check(vars(two), t, DICT_VALUE, "callback")
    many = Inline()
    for i in range(60):
        setattr(many, f"a{i}", [i])
    many.ünï = t
    check(vars(many), t, DICT_VALUE, "ünï")
    slots = SlotsBelow()
    slots.one, slots.three = [1], t
    check(slots, slots.one, ATTRIBUTE, "one")
    check(slots, t, ATTRIBUTE, "three")
    for made in (IntWithDict(10**20), TupleWithDict([1])):
        made.attribute = t
        check(made, vars(made), ATTRIBUTE, "__dict__")
        check(vars(made), t, DICT_VALUE, "attribute")
    listed = ListWithSlot([[1], t])
    listed.extra = [2]
    check(listed, t, ITEM, index=1)
    check(listed, listed.extra, ATTRIBUTE, "extra")


def containers():
    t = Target()
    check([[], t], t, ITEM, index=1)
    check(([], [], t), t, ITEM, index=2)
    check({"key": t}, t, DICT_VALUE, "key")
    check({17: t}, t, DICT_VALUE, "17")
    check({-(2**40): t}, t, DICT_VALUE, str(-(2**40)))
    check({None: t}, t, DICT_VALUE, "None")
    check({True: t}, t, DICT_VALUE, "True")
    check({b"raw": t}, t, DICT_VALUE, "b'raw'")
    check({(1, 2): t}, t, DICT_VALUE, "<tuple>")
    check({t: 1}, t, DICT_KEY, "<Target>")
    check({t, 1}, t, MEMBER)
    check(frozenset([t]), t, MEMBER)
    big = collections.deque([[i] for i in range(200)])
    big.rotate(30)
    big[150] = t
    check(big, t, ITEM, index=150)
    check(collections.OrderedDict(a=1, b=t), t, DICT_VALUE, "b")
    counts = collections.defaultdict(Target, b=t)
    check(counts, t, DICT_VALUE, "b")
    check(counts, Target, ATTRIBUTE, "default_factory")
    check(slice(t, [1]), t, ATTRIBUTE, "start")
    pair = collections.namedtuple("Pair", "a b")([], t)
    check(pair, t, ITEM, index=1)


def functions():
    t = Target()

    def inner(a, b=t, *, c=[1]):  # noqa: B006
        return t

    check(inner, inner.__closure__, CLOSURE)
    check(inner.__closure__[0], t, CELL)
    check(inner, inner.__defaults__, DEFAULT, "__defaults__")
    check(inner, inner.__kwdefaults__, DEFAULT, "__kwdefaults__")
    check(inner, inner.__globals__, GLOBALS, "__globals__")
    check(inner, inner.__code__, ATTRIBUTE, "__code__")
    check(inner.__code__, inner.__code__.co_consts, CODE, "co_consts")
    inner.attribute = t
    check(inner, vars(inner), ATTRIBUTE, "__dict__")
    holder = Inline()
    check(holder.method, holder, SELF)
    check(holder.method, Inline.method, FUNCTION)
    some = [1]
    check(some.append, some, SELF)
    check(functools.partial(print, t), print, ATTRIBUTE, "func")
    partial = functools.partial(print, t)
    check(partial, partial.args, ATTRIBUTE, "args")
    check(Inline.value, Inline.value.fget, DESCRIPTOR, "fget")
    static = vars(Inline)["of_class"]
    check(static, static.__func__, DESCRIPTOR, "__func__")
    path = probe.labels([inner, inner.__closure__, inner.__closure__[0], t])
    if path != [(CLOSURE, 0, ""), (CLOSURE, 0, "t"), (CELL, 0, "t")]:
        wrong.append(f"closure's variable: {path}")
    if probe.labels([inner.__closure__[0], t], "t") != [(CELL, 0, "t")]:
        wrong.append("a local's cell")

    @functools.lru_cache(maxsize=3)
    def cached(x):
        return [x]

    for i in range(9):
        kept = cached(i)
    check(cached, kept, ATTRIBUTE, "cached result")

    @functools.lru_cache(maxsize=None)
    def unbounded(x):
        return [x]

    kept = unbounded(5)
    found = [one for one in gc.get_referents(unbounded) if isinstance(one, dict) and 5 in one]
    check(found[0], kept, DICT_VALUE, "5")


def frames_and_errors():
    t = Target()

    def generate():
        local = t
        yield local
        yield cellular

    cellular = [2]
    made = generate()
    next(made)
    check(made, t, FRAME, "local")

    async def work():
        awaited = t
        await asyncio.sleep(0)
        return awaited

    task = work()
    task.send(None)
    check(task, t, FRAME, "awaited")
    task.close()

    async def waits(loop):
        future = loop.create_future()
        child = loop.create_task(work())
        future.add_done_callback(check)
        await asyncio.sleep(0)
        check(child, child.get_coro(), ATTRIBUTE, "_coro")
        check(child, loop, ATTRIBUTE, "_loop")
        check(future, check, CALLBACK)
        await child
        check(child, t, ATTRIBUTE, "_result")
        future.remove_done_callback(check)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(waits(loop))
    loop.close()

    async def agen():
        inside = t
        yield inside

    async_generator = agen()
    sent = async_generator.__anext__()
    try:
        sent.send(None)
    except StopIteration:
        pass
    check(async_generator, t, FRAME, "inside")
    try:
        try:
            raise KeyError("first")
        except KeyError as e:
            raise ValueError(t) from e
    except ValueError as e:
        error = e
    error.add_note("a note")
    check(error, error.args, EXCEPTION, "args")
    check(error, error.__traceback__, EXCEPTION, "traceback")
    check(error, error.__cause__, EXCEPTION, None)
    check(error.__traceback__, error.__traceback__.tb_frame, ATTRIBUTE, "tb_frame")
    error.attribute = t
    check(error, vars(error), ATTRIBUTE, "__dict__")

    def returned():
        in_frame = t  # noqa: F841
        return sys._getframe()

    frame = returned()
    check(frame, t, LOCAL, "in_frame")
    error.__traceback__ = None


def others():
    t = Target()
    check(weakref.ref(t, check), check, CALLBACK)
    variable = contextvars.ContextVar("variable", default=t)
    check(variable, t, DESCRIPTOR, "its default")
    check(probe, vars(probe), ATTRIBUTE, "__dict__")
    check(Inline, Inline.__mro__, TYPE_SLOT, "__mro__")
    check(Inline, Inline.__bases__, TYPE_SLOT, "__bases__")
    made = Meta("Made", (Target,), {"attribute": t})
    check(made, Meta, TYPE)
    check(made, Target, TYPE_SLOT, "__base__")
    dicts = [one for one in gc.get_referents(made) if isinstance(one, dict)]
    check(made, dicts[0], TYPE_SLOT, "__dict__")
    check(dicts[0], t, DICT_VALUE, "attribute")
    subclasses = [at for at, _ in probe.edges(Target)]
    if not subclasses:
        wrong.append("a class has no references")


def iterators():
    """What has no attribute in Python is called in words."""
    t = Target()
    rows = [t, [2]]
    for made in (
        iter(rows),
        reversed(rows),
        iter((t, rows)),
        reversed((t, rows)),
        iter({t: 1}),
        iter({t: 1}.values()),
        iter({1: t}.items()),
        iter({t}),
        iter(bytearray(3)),
    ):
        iterated = [one for one in gc.get_referents(made) if type(one) is not tuple or t in one]
        check(made, iterated[0], DESCRIPTOR, "what is iterated")
    mapping = {1: t}
    check(mapping.values(), mapping, ATTRIBUTE, "mapping")
    one = iter(rows)
    check(enumerate(one), one, DESCRIPTOR, "its iterator")
    check(iter(t.__repr__, rows), rows, DESCRIPTOR, "its sentinel")

    def function(*_):
        return 1

    for made in (
        map(function, one),
        filter(function, one),
        itertools.starmap(function, one),
        itertools.takewhile(function, one),
        itertools.dropwhile(function, one),
        itertools.filterfalse(function, one),
        itertools.accumulate(one, function),
        itertools.groupby(one, function),
    ):
        check(made, function, DESCRIPTOR, "its function")
        if type(made) is not map:
            check(made, one, DESCRIPTOR, "its iterator")
    for made in (itertools.islice(one, 1), itertools.batched(one, 2), itertools.pairwise(one)):
        check(made, one, DESCRIPTOR, "its iterator")
    for made in (zip(one), map(function, one), itertools.zip_longest(one, fillvalue=t)):
        [inner] = [ref for ref in gc.get_referents(made) if type(ref) is tuple and one in ref]
        check(made, inner, DESCRIPTOR, "its iterators")
    check(itertools.zip_longest(one, fillvalue=t), t, DESCRIPTOR, "its fill value")
    check(itertools.accumulate(one, initial=t), t, DESCRIPTOR, "its initial value")
    check(itertools.repeat(t), t, DESCRIPTOR, "the repeated object")
    check(itertools.compress(rows, one), one, DESCRIPTOR, "its selectors")
    chained = itertools.chain(rows, rows)
    check(chained, gc.get_referents(chained)[-1], DESCRIPTOR, "what is chained")
    for made in (itertools.combinations(rows, 1), itertools.permutations(rows, 1)):
        check(made, gc.get_referents(made)[-1], DESCRIPTOR, "its pool")
    products = itertools.product(rows)
    check(products, gc.get_referents(products)[-1], DESCRIPTOR, "its pools")
    again = itertools.cycle(rows)
    next(again)
    [saved] = [ref for ref in gc.get_referents(again) if type(ref) is list]
    check(again, saved, DESCRIPTOR, "its saved items")
    first, _ = itertools.tee([t, 1, 2])
    next(first)
    check(_, gc.get_referents(_)[-1], DESCRIPTOR, "its saved items")
    check(gc.get_referents(_)[-1], t, MEMBER)
    viewed = memoryview(bytearray(9))
    check(viewed, gc.get_referents(viewed)[0], DESCRIPTOR, "its buffer")
    check(gc.get_referents(viewed)[0], viewed.obj, ATTRIBUTE, "obj")


def tree_step(holder):
    [below] = [ref for ref in gc.get_referents(holder) if type(ref).__name__.startswith("hamt")]
    check(holder, below, DESCRIPTOR, "its tree of variables")
    return below


def contexts():
    """The value of a context variable is called as that is, however deep in the tree."""
    t = Target()
    variables = [contextvars.ContextVar(f"v{i}") for i in range(100)]
    context = contextvars.Context()
    context.run(variables[7].set, t)
    check(tree_step(tree_step(context)), t, DICT_VALUE, "v7")
    values = {variable.name: [i] for i, variable in enumerate(variables)}
    for variable in variables:
        context.run(variable.set, values[variable.name])
    nodes, found = [tree_step(tree_step(context))], set()
    while nodes:
        node = nodes.pop()
        for ref in gc.get_referents(node):
            if type(ref).__name__.startswith("hamt"):
                check(node, ref, DESCRIPTOR, "its tree of variables")
                nodes.append(ref)
            elif type(ref) is list:
                name = next(name for name in values if values[name] is ref)
                check(node, ref, DICT_VALUE, name)
                found.add(name)
    if found != set(values):
        wrong.append(f"context variables: {len(found)} found")
    token = context.run(variables[7].set, 1)
    check(token, variables[7], ATTRIBUTE, "var")
    check(token, values["v7"], ATTRIBUTE, "old_value")
    local = threading.local()
    local.value = t
    [dicts] = [ref for ref in gc.get_referents(local) if type(ref) is dict and ref]
    check(local, dicts, DESCRIPTOR, "values of each thread")


def roots():
    mine, shared = ["mine"], [["theirs"]]
    ready, go = threading.Event(), threading.Event()

    def waits():
        theirs = shared[0]
        ready.set()
        go.wait()
        return theirs

    thread = threading.Thread(target=waits, name="röt")
    thread.start()
    ready.wait()
    found = probe.roots()
    go.set()
    thread.join()
    by_target = collections.defaultdict(list)
    for kind, label, detail, target, counted in found:
        by_target[target].append((kind, label, detail, counted))
    for target, expected in [
        (mine, (ROOT_LOCAL, "mine", "roots in thread MainThread", None)),
        (shared[0], (ROOT_LOCAL, "theirs", "roots.<locals>.waits in thread röt", None)),
        (sys.modules["__main__"], (ROOT_MODULE, "__main__", "", 0)),
        (probe, (ROOT_MODULE, "probe", "", 0)),
        (int, (ROOT_STATIC_TYPE, "int", "", 0)),
        (sys.modules, (ROOT_INTERPRETER, "sys.modules", "", 1)),
    ]:
        if not any(
            one[:3] == expected[:3] and expected[3] in (None, one[3])
            for one in by_target[id(target)]
        ):
            wrong.append(f"root {expected}: {by_target[id(target)]}")


for part in (
    instances,
    containers,
    functions,
    frames_and_errors,
    others,
    iterators,
    contexts,
    roots,
):
    part()
print("\n".join(wrong))
print("all named" if not wrong else "wrong")
