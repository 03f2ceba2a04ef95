"""Reads Rust sources far enough to know modules, items and the paths that name them.

This is a scanner, not a compiler: macros are not expanded, types are not inferred, and only `cfg(test)` is
evaluated. `.ci/structure` and `.ci/names` are built on it.
"""

import re
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*)
      |(?P<string>b?c?r(?P<hash>\#*)"(?:.|\n)*?"(?P=hash)|[bc]?"(?:\\(?:.|\n)|[^"\\])*"
                 |b?'(?:\\[^\n']+|\\'|[^\\'\n])')
      |(?P<lifetime>'[A-Za-z_]\w*)
      |(?P<ident>(?:r\#)?[A-Za-z_]\w*)
      |(?P<number>\d[\w.]*)
      |(?P<punct>::|->|=>|\.\.=?|[^\s\w])""",
    re.VERBOSE,
)
CLOSER = {"(": ")", "[": "]", "{": "}"}
ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
TEST = re.compile(r"cfg\((doc)?test\)|cfg\(all\((.*,)?test(,.*)?\)\)")


def tokens(text):
    """`(text, line, kind)` of each token; comments are dropped, a string keeps its quotes."""
    found, at, line = [], 0, 1
    while match := TOKEN.search(text, at):
        line += text.count("\n", at, match.start())
        kind, at = match.lastgroup, match.end()
        if kind == "hash":
            kind = "string"
        if match[0] == "/*":
            depth = 1
            for mark in re.finditer(r"/\*|\*/", text[at:]):
                depth += 1 if mark[0] == "/*" else -1
                if depth == 0:
                    line, at = line + text.count("\n", match.start(), at + mark.end()), at + mark.end()
                    break
            continue
        if kind != "comment":
            found.append((match[0].removeprefix("r#") if kind == "ident" else match[0], line, kind))
        line += match[0].count("\n")
    return found


def close(toks, at):
    """The index of the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(toks)):
        depth += (toks[index][0] in CLOSER) - (toks[index][0] in (")", "]", "}"))
        if depth == 0:
            return index
    return len(toks) - 1


def item_end(toks, at):
    """The index after the item, statement, field or match arm that starts at `at`."""
    while at < len(toks) and toks[at][0] == "#":
        at = close(toks, at + 1) + 1
    start, listed = at, True
    if toks[at][0] == "pub" and toks[at + 1][0] == "(":
        start = close(toks, at + 1) + 1
    word = toks[start + (toks[start][0] == "pub")][0]
    listed = word not in ITEMS | {"mod", "use", "impl", "let", "async", "unsafe", "extern", "macro_rules"}
    while at < len(toks):
        text = toks[at][0]
        if text in CLOSER:
            at = close(toks, at)
            if text == "{" and not listed and word not in ("use", "let", "const", "static", "type"):
                return at + 1
        elif text == ";" or (listed and text == ","):
            return at + 1
        elif text in (")", "]", "}"):
            return at
        at += 1
    return at


def without_tests(toks):
    """The tokens without what is compiled for tests only."""
    kept, at = [], 0
    while at < len(toks):
        if toks[at][0] == "#" and at + 1 < len(toks) and toks[at + 1][0] == "[":
            end = close(toks, at + 1)
            if TEST.fullmatch("".join(text for text, _, _ in toks[at + 2 : end])):
                at = item_end(toks, at)
                continue
        kept.append(toks[at])
        at += 1
    return kept


class Module:
    """One module: its children, the names that it defines or imports, and the paths in its code."""

    def __init__(self, name, file, parent):
        self.name, self.file, self.parent = name, file, parent
        self.root = parent.root if parent else self
        self.library = parent.library if parent else None
        self.children = {}
        self.items = {}
        self.uses = []  # (name or "*", path, line, exported)
        self.paths = []  # (path, line)

    def path(self):
        return (*self.parent.path(), self.name) if self.parent else ()

    def walk(self):
        yield self
        for named in self.children.values():
            for child in named:
                yield from child.walk()

    def contains(self, other):
        while other and other is not self:
            other = other.parent
        return other is self


class Crate:
    """The module tree of one target. `library` is the name and the root module of the package's library."""

    def __init__(self, file, library=None, tests=False):
        self.tests = tests
        self.root = Module("crate", file, None)
        self.root.library = library
        self._read(self.root, file, file.parent)

    def _read(self, module, file, folder):
        toks = tokens(file.read_text(encoding="utf-8"))
        self._scan(module, toks if self.tests else without_tests(toks), folder, True)

    def _scan(self, module, toks, folder, top):
        """Scans items and code. `folder` holds the files of this module's children."""
        at, path_attribute, macro_exported = 0, None, False
        while at < len(toks):
            text, line, kind = toks[at]
            following = toks[at + 1][0] if at + 1 < len(toks) else ""
            if text == "#" and following in ("[", "!"):
                opening = at + 1 + (following == "!")
                end = close(toks, opening)
                if toks[opening + 1][0] == "path":
                    path_attribute = toks[opening + 3][0].strip('"')
                macro_exported |= toks[opening + 1][0] == "macro_export"
                at = end + 1
            elif text == "pub" and following == "(" and toks[at + 2][0] in ("in", "crate", "super", "self"):
                at = close(toks, at + 1) + 1
            elif text == "use" and kind == "ident":
                end = next(i for i in range(at, len(toks)) if toks[i][0] == ";")
                self._use(module, toks[at + 1 : end], [], toks[at - 1][0] in ("pub", ")") and at > 0)
                at = end + 1
            elif text == "mod" and at + 2 < len(toks) and toks[at + 2][0] in (";", "{"):
                if toks[at + 2][0] == "{":
                    end = close(toks, at + 2)
                    child = self._child(module, following, module.file)
                    self._scan(child, toks[at + 3 : end], folder / following, True)
                    at = end + 1
                else:
                    names = [path_attribute] if path_attribute else [f"{following}.rs", f"{following}/mod.rs"]
                    base = module.file.parent if path_attribute else folder
                    for file in (base / name for name in names):
                        if file.is_file():
                            inner = file.parent if file.name == "mod.rs" else file.parent / file.stem
                            self._read(self._child(module, following, file), file, inner)
                    at += 3
                path_attribute = None
            elif text == "macro_rules" and following == "!":
                module.items[toks[at + 2][0]] = "macro"
                if macro_exported and module is not module.root:
                    path = ("crate", *module.path(), toks[at + 2][0])
                    module.root.uses.append((toks[at + 2][0], path, line, True))
                macro_exported = False
                at += 3
            elif (
                kind == "ident"
                and text in ITEMS
                and top
                and at + 1 < len(toks)
                and toks[at + 1][2] == "ident"
            ):
                if following not in ("fn", "unsafe", "extern", "async"):
                    module.items.setdefault(following, text)
                    at += 1
                at += 1
            elif text == "{":
                end = close(toks, at)
                self._scan(module, toks[at + 1 : end], folder, False)
                at = end + 1
            elif kind == "ident" and (at == 0 or toks[at - 1][0] not in (".", "::")):
                at = self._path(module, toks, at)
            else:
                at += 1

    def _child(self, module, name, file):
        child = Module(name, file, module)
        module.children.setdefault(name, []).append(child)
        return child

    def _path(self, module, toks, at):
        path, line = [toks[at][0]], toks[at][1]
        while at + 2 < len(toks) and toks[at + 1][0] == "::" and toks[at + 2][2] == "ident":
            at += 2
            path.append(toks[at][0])
        called = at + 1 < len(toks) and toks[at + 1][0] in ("(", "!", "::")
        if len(path) > 1 or called or path[0][:1].isupper():
            module.paths.append((tuple(path), line))
        return at + 1

    def _use(self, module, toks, prefix, exported):
        path, at, line = list(prefix), 0, toks[0][1] if toks else 0
        while at < len(toks):
            text = toks[at][0]
            if text == "{":
                end, start, depth = close(toks, at), at + 1, 0
                for index in range(at + 1, end + 1):
                    depth += (toks[index][0] == "{") - (toks[index][0] == "}")
                    if (toks[index][0] == "," and depth == 0) or index == end:
                        if index > start:
                            self._use(module, toks[start:index], path, exported)
                        start = index + 1
                return
            if text == "as":
                module.uses.append((toks[at + 1][0], tuple(path), line, exported))
                return
            if text == "*":
                module.uses.append(("*", tuple(path), line, exported))
                return
            if text != "::" and not (text == "self" and path):
                path.append(text)
            at += 1
        if path:
            module.uses.append((path[-1], tuple(path), line, exported))


def look_up(module, name, seen):
    """What `name` means in `module`: `(module, None)` for a module, `(module, name)` for an item in it."""
    if (module, name) in seen:
        return []
    seen = seen | {(module, name)}
    found = [(child, None) for child in module.children.get(name, [])]
    if name in module.items:
        found.append((module, name))
    for bound, path, _, _ in module.uses:
        if bound == name:
            found += resolve(module, path, seen)[0]
    if not found:
        for bound, path, _, _ in module.uses:
            if bound == "*":
                for target, item in resolve(module, path, seen)[0]:
                    found += look_up(target, name, seen) if item is None else []
    return found


def resolve(module, path, seen=frozenset()):
    """The targets of a path, and whether all of it was found; no target if it leaves the package."""
    head, rest = path[0], list(path[1:])
    if head == "crate":
        targets = [(module.root, None)]
    elif head == "self":
        targets = [(module, None)]
    elif head == "super":
        targets = [(module.parent, None)] if module.parent else []
    else:
        targets = look_up(module, head, seen)
        if not targets and module.library and head == module.library[0]:
            targets = [(module.library[1] or module.root, None)]
    while rest and targets:
        modules = [target for target, item in targets if item is None]
        if not modules:
            return targets, True  # Variants and associated items are found by type, not by path.
        name = rest.pop(0)
        if name == "super":
            targets = [(target.parent, None) for target in modules if target.parent]
            continue
        found = [entry for target in modules for entry in look_up(target, name, seen)]
        if not found:
            return [(target, None) for target in modules], False
        targets = found
    items = [entry for entry in targets if entry[1] is not None]
    return items or targets, bool(targets)


def crates(package, name, tests=False):
    """The module trees of a package's library and binaries."""
    source, library, found = Path(package) / "src", None, []
    if (source / "lib.rs").is_file():
        library = (name.replace("-", "_"), None)
        root = Crate(source / "lib.rs", library, tests)
        found.append(root)
        library = (library[0], root.root)
    for file in [source / "main.rs", *sorted(source.glob("bin/*.rs")), *sorted(source.glob("bin/*/main.rs"))]:
        if file.is_file():
            found.append(Crate(file, library, tests))
    return found
