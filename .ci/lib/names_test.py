"""The self-test of `.ci/names`: one small repository, changed in one place at a time."""

import sys
import tempfile
from pathlib import Path


def run(check):
    source = """//! `one::S` and `S::go`, [`E::A`], `crate::one`, `std::mem::drop`, `Vec::new`, `T::call`, `S::call`, `S::f`.
    pub mod one;
    pub enum E { A, B { x: u8 } }
    """
    one = "pub struct S { f: u8 }\nimpl S { pub const fn go<T>(&self) {} }\npub trait T { fn call(&self) {} }\nimpl T for S {}"
    clean = {
        "channel/Cargo.toml": '[package]\nname = "lanemesh"',
        "channel/src/lib.rs": source,
        "channel/src/one.rs": one,
        "other/Cargo.toml": '[package]\nname = "other"',
        "channel/tests/t.rs": "fn check() {}",
        "A.md": "# A b\n`channel/src/one.rs`, `one.rs`, `src/{lib,one}.rs`, `channel/src/`, [a](A.md#a-b) `target/x.rs` -p lanemesh\n",
    }
    cases = {  # name: (changed file, added text, what must be reported)
        "clean": ("A.md", "", None),
        "method": ("channel/src/one.rs", "\n// Pairs with `S::gone`.", "S has no gone"),
        "method, bare": ("channel/src/one.rs", "\n// Pairs with S::gone.", "S has no gone"),
        "another package": ("other/src/lib.rs", "// `S::gone`, `one::gone`", None),
        "test module": ("A.md", "`t::check`, `t::gone`", "t has no gone"),
        "variant": ("A.md", "`E::C`", "E has no C"),
        "item": ("A.md", "`one::X`", "one has no X"),
        "link": ("channel/src/one.rs", "\n/// [go](S::gone)", "S has no gone"),
        "crate": ("A.md", "`crate::two`", "nothing is called two"),
        "by crate name": ("A.md", "`lanemesh::Gone`", "nothing is called Gone"),
        "fence": ("A.md", "```rust\nS::gone()\n```\n", None),
        "string": ("channel/src/one.rs", '\nconst X: &str = "// S::gone";', None),
        "file": ("A.md", "`channel/src/two.rs`", "two.rs: no such file"),
        "file in a comment": ("channel/src/one.rs", "\n// as in `two.rs`", "two.rs: no such file"),
        "braces": ("A.md", "`src/{lib,two}.rs`", "src/two.rs: no such file"),
        "folder": ("A.md", "`channel/gone/`", "channel/gone/: no such file or folder"),
        "script": (".ci/x", "cat channel/none.py", "none.py: no such file"),
        "relative link": ("A.md", "[a](B/)", "link to B/"),
        "heading": ("A.md", "[a](#c)", "no such heading"),
        "target": ("A.md", "`cargo test --test none`", "--test none: no package has it"),
        "package": ("A.md", "`cargo test -p none`", "-p none: no such package"),
        "example": ("channel/examples/e.rs", "", "no line for the example e"),
    }
    for name, (changed, added, expected) in cases.items():
        with tempfile.TemporaryDirectory() as root:
            for path in {**clean, changed: ""}:
                file = Path(root) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(clean.get(path, "") + (added if path == changed else ""))
            found = list(check(Path(root).resolve()))
        if (expected is None) != (not found) or (expected and expected not in "\n".join(found)):
            sys.exit(f"names: self-test '{name}': expected {expected}, found {found}")
    print(f"names: self-test: {len(cases)} passed")
