"""The self-test of `.ci/structure`: small packages, and what must be reported for each."""

import sys
import tempfile
from pathlib import Path


def run(check):
    lib = "pub mod a;\npub mod b;\npub use a::A;\n"
    clean = {"src/lib.rs": lib, "src/a/mod.rs": "pub struct A;", "src/b/mod.rs": "use crate::A;"}
    files = {"src/lib.rs": "mod a;\nmod b;\n", "src/a.rs": "use crate::b::B;\npub struct A;"}
    pair = {**files, "src/b.rs": "pub struct B(super::a::A);"}
    stated_pair = "// One thing: a, b: each owns the other.\n" + files["src/lib.rs"]
    cases = {  # name: (files of channel/, what must be reported, or None)
        "clean": (clean, None),
        "folders": (
            {**clean, "src/a/mod.rs": "use crate::{b::{self, B}};\npub struct A;"},
            "circle of folders: a, b",
        ),
        "inline path": (
            {**clean, "src/a/mod.rs": "pub struct A; fn f() { crate::b::g(); }"},
            "circle of folders: a, b",
        ),
        "macro": (
            {**clean, "src/a/mod.rs": "pub struct A; macro_rules! m { () => { $crate::b::g() } }"},
            "circle of folders",
        ),
        "exported macro": (
            {
                **clean,
                "src/a/mod.rs": "use crate::m;\npub struct A;",
                "src/b/mod.rs": "use crate::A;\n#[macro_export]\nmacro_rules! m { () => {} }",
            },
            "circle of folders: a, b",
        ),
        "alias": ({**clean, "src/a/mod.rs": "use super::b as c;\npub struct A;"}, "circle of folders: a, b"),
        "glob": (
            {**clean, "src/a/mod.rs": "pub struct A; mod x;", "src/a/x.rs": "use super::super::b::*;"},
            "circle of folders",
        ),
        "own name": (
            {**clean, "src/a/mod.rs": "pub struct A; fn f() { lanemesh::b::g(); }"},
            "circle of folders",
        ),
        "by others": (
            {
                "src/lib.rs": lib + "mod c;",
                "src/a/mod.rs": "use crate::c::C; pub struct A;",
                "src/b/mod.rs": "use crate::A;",
                "src/c/mod.rs": "use crate::b;\npub struct C;",
            },
            "circle of folders: a, b, c",
        ),
        "folder and file": (
            {**pair, "src/a.rs": "mod x;\npub struct A;", "src/a/x.rs": "use crate::b;"},
            "circle of folders: a, b",
        ),
        "to the parent": (
            {
                **clean,
                "src/a/mod.rs": "mod x;\nuse x::X;\npub struct A;",
                "src/a/x.rs": "use super::A;\npub struct X;",
            },
            "circle of files, not stated in the folder's module: mod, x",
        ),
        "used export": (
            {
                **clean,
                "src/a/mod.rs": "mod x;\npub use x::X;\npub struct A(X);",
                "src/a/x.rs": "use super::A;\npub struct X;",
            },
            "circle of files, not stated in the folder's module: mod, x",
        ),
        "export alone": (
            {
                **clean,
                "src/a/mod.rs": "mod x;\npub use x::X;\npub struct A;",
                "src/a/x.rs": "use super::A;\npub struct X;",
            },
            None,
        ),
        "files": (pair, "circle of files, not stated in the folder's module: a, b"),
        "files, stated": ({**pair, "src/lib.rs": stated_pair}, None),
        "listed": (
            {
                **clean,
                "src/a/mod.rs": "// One thing: mod, *: a list.\nmod x;\npub struct A;\nfn f() { x::X; }",
                "src/a/x.rs": "use super::A;\npub struct X;",
            },
            None,
        ),
        "listed for nothing": (
            {**clean, "src/a/mod.rs": "// One thing: mod, *: a list.\npub struct A;"},
            "not there: *, mod",
        ),
        "stated wrongly": (
            {**pair, "src/lib.rs": stated_pair.replace("a, b", "a, c")},
            "circle of files, not stated",
        ),
        "stated for nothing": (
            {**files, "src/lib.rs": stated_pair, "src/b.rs": "pub struct B;"},
            "circle that is not there: a, b",
        ),
        "tests": ({**pair, "src/b.rs": "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }"}, None),
        "visibility": ({**pair, "src/b.rs": "pub struct B;\nimpl B { pub(in crate::a) fn f() {} }"}, None),
        "comments": (
            {
                **pair,
                "src/b.rs": 'pub struct B; // crate::a::A\n/// [`crate::a::A`]\nfn f() { "crate::a::A"; }',
            },
            None,
        ),
        "many files": ({**clean, **{f"src/a/f{i}.rs": "" for i in range(13)}}, "14 files"),
        "long file": ({**clean, "src/a/mod.rs": "pub struct A;\n" * 601}, "601 lines"),
        "upward": (
            {
                **clean,
                "Cargo.toml": '[package]\nname = "lanemesh"\n[dev-dependencies]\nlanemesh-runtime.workspace = true',
            },
            "depends on runtime (dev-dependencies)",
        ),
        "no place": ({**clean, "../other/Cargo.toml": '[package]\nname = "other"'}, "has no place"),
    }
    for name, (tree, expected) in cases.items():
        with tempfile.TemporaryDirectory() as root:
            manifests = {
                "Cargo.toml": '[package]\nname = "lanemesh"',
                "../runtime/Cargo.toml": '[package]\nname = "lanemesh-runtime"',
            }
            for path, text in {**manifests, **tree}.items():
                file = Path(root) / "channel" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            found = check(Path(root).resolve())
            if (expected is None) != (not found) or (expected and expected not in "\n".join(found)):
                sys.exit(f"structure: self-test '{name}': expected {expected}, found {found}")
    print(f"structure: self-test: {len(cases)} passed")
