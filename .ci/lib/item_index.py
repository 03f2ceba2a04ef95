"""An index of the items of all packages: types with their members, modules with their names."""

import re

from rust_source import CLOSER, Crate, close, crates, tokens

# Modules of std and tokio whose names ours may share: a path that begins with one of them is not judged.
FOREIGN = set("alloc any cell error fmt future io mem net process ptr signal sync task thread time".split())
# What a derive or a blanket implementation gives to a type.
GIVEN = set(
    "clone default eq ne fmt hash cmp partial_cmp to_string into from try_from try_into borrow".split()
)
DEPENDENCIES = ("dependencies", "dev-dependencies", "build-dependencies")
TYPES = {"struct", "enum", "union", "trait", "type"}
NAME = r"[A-Za-z_]\w*"


class Index:
    """Every type with its members, and every module with its names.

    Types of the same name are kept apart by package, and those of a package's sources from those of its tests.
    """

    def __init__(self, root, files, manifests):
        self.types, self.modules, self.anywhere, self.traits = {}, {}, set(), {}
        self.defined, self.real, self.trait_names, self.places = set(), set(), set(), {}
        self.folders = [root / folder for folder in manifests]
        for file in files:
            if file.suffix == ".rs":
                self.places[file], self.scope = [], self.scopes(file)[0]
                self._types(tokens(file.read_text(encoding="utf-8")), self.places[file])
        traits = {}
        for scope, name in self.trait_names:
            traits.setdefault(name, set()).update(self.types[scope, name])
        for key, names in self.traits.items():
            self.types[key] |= {member for name in names for member in traits.get(name, ())}
        names = {
            manifest["package"]["name"].replace("-", "_"): root / folder
            for folder, manifest in manifests.items()
        }
        self.crates, self.foreign, self.uses = names.keys(), set(FOREIGN), {}
        for folder, manifest in manifests.items():
            used = {name.replace("-", "_") for key in DEPENDENCIES for name in manifest.get(key, {})}
            self.uses[root / folder] = {root / folder} | {names[name] for name in used & self.crates}
            self.foreign |= used - self.crates
            trees = crates(root / folder, manifest["package"]["name"], tests=True)
            for place in ("tests", "examples", "benches", "fuzz_targets"):
                files = [*(root / folder / place).glob("*.rs"), *(root / folder / place).glob("*/main.rs")]
                trees += [Crate(file, None, tests=True) for file in files]
            for tree in trees:
                for module in tree.root.walk():
                    own = [module.file.parent.name if module.file.stem == "main" else module.file.stem]
                    if module.file.name == "lib.rs":
                        own = [manifest["package"]["name"].replace("-", "_")]
                    for name in {module.name} if module.parent else own:
                        items = self.modules.setdefault((root / folder, name), set())
                        items |= (
                            module.children.keys() | module.items.keys() | {use[0] for use in module.uses}
                        )

    def in_reach(self, package, file):
        """Whether a document can mean names of the package: those of a package name what it depends on."""
        own = self.scopes(file)[0][0]
        return own is None or package in self.uses[own]

    def module(self, name, file):
        """The names in the modules of this name that the file can mean, or None if none is ours."""
        found = [
            items
            for (package, other), items in self.modules.items()
            if other == name and self.in_reach(package, file)
        ]
        return set().union(*found) if found else None

    def scopes(self, file):
        """Where the names of a file are looked up first, as (package, whether in its sources)."""
        package = max((folder for folder in self.folders if folder in file.parents), key=str, default=None)
        source = package is not None and "src" in file.relative_to(package).parts
        return [(package, source)] if source or not package else [(package, False), (package, True)]

    def members(self, name, file):
        """The members of the type of this name that the file means, or None if it is not ours."""
        places = [scope for scope in self.scopes(file) if (scope, name) in self.defined][:1]
        places = places or [
            scope
            for scope, other in self.defined
            if other == name and scope[1] and self.in_reach(scope[0], file)
        ]
        found = (
            [
                self.types[scope, name]
                for scope in {(scope[0], source) for scope in places for source in (True, False)}
                if (scope, name) in self.types
            ]
            if places
            else []
        )
        members = set().union(*found)
        if any((scope, name) in self.real for scope in places):
            members.discard("*")
        return members if found else None

    def _types(self, toks, places):
        at = 0
        while at < len(toks):
            text, line, kind = toks[at]
            before = toks[at - 1][0] if at else "}"
            if kind == "ident" and (
                text in TYPES or text == "impl" and before in ("}", ";", "{", "]", "unsafe")
            ):
                end, angle, words = at + 1, 0, []
                stops = ("{", ";", "=", "}") if text in ("impl", "trait") else ("{", ";", "=", "}", "(")
                while end < len(toks) and (toks[end][0] not in stops or angle > 0):
                    angle += (toks[end][0] == "<") - (toks[end][0] == ">")
                    if angle == 0 and toks[end][2] in ("ident", "punct") and toks[end][0] != "<":
                        words.append(toks[end][0])
                    end += 1
                if text == "type" and any(first <= line <= last for first, last, _ in places):
                    at += 1  # An associated type.
                    continue
                name = self._type(text, " ".join(words), toks, end)
                body = end < len(toks) and toks[end][0] == "{"
                places.append((line, toks[close(toks, end)][1] if body else line, name))
            at += 1

    def _type(self, keyword, header, toks, at):
        header = re.split(r" where\b|(?<! :) : ", f" {header} ")[0]
        names = [re.sub(r".*:: ", "", part).strip("> &").split(" ") for part in header.split(" for ")]
        name = names[-1][-1]
        if keyword != "impl":
            self.defined.add((self.scope, name))
        if keyword not in ("impl", "type"):
            self.real.add((self.scope, name))
        if keyword == "trait":
            self.trait_names.add((self.scope, name))
        members = (
            self.types.setdefault((self.scope, name), set()) if re.fullmatch(NAME, name) else self.anywhere
        )
        if keyword == "impl" and len(names) > 1 and members is not self.anywhere:
            self.traits.setdefault((self.scope, name), set()).add(names[0][-1])
        if keyword == "type" and at < len(toks) and toks[at][0] == "=":
            members.add("*")  # An alias has the members of what it stands for.
        if at >= len(toks) or toks[at][0] != "{":
            return name
        end, inner = close(toks, at), at + 1
        while inner < end:
            text, before = toks[inner][0], toks[inner - 1][0]
            following = toks[inner + 1][0]
            if keyword in ("impl", "trait"):
                if text in ("fn", "const", "type"):
                    members.add(following)
            elif toks[inner][2] == "ident" and text != "pub" and before in ("{", ",", "]", "pub", ")"):
                members.add(text)
            if text in CLOSER and text != "<":
                inner = close(toks, inner)
            inner += 1
        return name

    def missing(self, path, file, line):
        """Why a path of items that stands in a line of a file does not exist, or None."""
        parts = re.sub(r"<[^<>]*>", "", path).split("::")
        parts = [part for part in parts if part]
        if parts[0] == "Self":  # The type around the comment, else the one below it.
            around = [entry for entry in self.places.get(file, ()) if entry[0] <= line <= entry[1]]
            below = [entry for entry in self.places.get(file, ()) if entry[0] > line]
            if not around + below:
                return None
            parts[0] = around[-1][2] if around else min(below)[2]
        ours = False
        while parts and parts[0] in {"crate", "self", "super"} | self.crates:
            parts.pop(0)
            ours = True
        if not parts or (not ours and parts[0] in self.foreign):
            return None
        if ours and not any(parts[0] in items for items in self.modules.values()):
            return f"nothing is called {parts[0]}"
        for one, other in zip(parts, parts[1:]):
            members, items = self.members(one, file), self.module(one, file)
            if members is None and items is None:
                return None
            known = (members or set()) | (items or set())
            if other not in known | self.anywhere | GIVEN and "*" not in known:
                return f"{one} has no {other}"
        return None
