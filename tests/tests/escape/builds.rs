//! Projects that are built inside, with the toolchains and caches of whoever runs the tests: a Rust one with a path and a registry
//! dependency, a Node one with a package of its own, a Python one in a virtual environment.

use std::{fs, path::Path, process::Command};

use crate::Programs;

/// A project: what it is called, the program it cannot do without, its files, how it is built and what it then says.
struct Project {
    name: &'static str,
    needs: &'static str,
    files: &'static [(&'static str, &'static str)],
    build: &'static str,
    says: &'static str,
}

const PROJECTS: [Project; 3] = [
    Project {
        name: "Rust",
        needs: "cargo",
        files: &[
            (
                "Cargo.toml",
                "[package]\nname='app'\nversion='0.1.0'\nedition='2021'\n[dependencies]\npart={path='part'}\ncfg-if='1'\n[workspace]\n",
            ),
            (
                "src/main.rs",
                "cfg_if::cfg_if! { if #[cfg(unix)] { fn main() { println!(\"{}\", part::word()) } } }",
            ),
            (
                "build.rs",
                "fn main() { std::fs::write(std::env::var(\"OUT_DIR\").unwrap() + \"/x\", \"x\").unwrap() }",
            ),
            ("part/Cargo.toml", "[package]\nname='part'\nversion='0.1.0'\nedition='2021'\n"),
            (
                "part/src/lib.rs",
                "pub fn word() -> &'static str { \"built\" }\n#[test]\nfn it() { assert_eq!(word(), \"built\") }",
            ),
        ],
        build: "cargo build -q --offline && cargo test -q --offline -p part >/dev/null && target/debug/app",
        says: "built",
    },
    Project {
        name: "Node",
        needs: "npm",
        files: &[
            (
                "package.json",
                r#"{"name":"app","version":"1.0.0","dependencies":{"part":"file:part"},"scripts":{"build":"node build.js","test":"node test.js"}}"#,
            ),
            ("build.js", "require('fs').writeFileSync('out.txt', require('part').word)"),
            (
                "test.js",
                "require('assert').equal(require('fs').readFileSync('out.txt', 'utf8'), 'built'); console.log('built')",
            ),
            ("part/package.json", r#"{"name":"part","version":"1.0.0","main":"index.js"}"#),
            ("part/index.js", "exports.word = 'built'"),
        ],
        build: "npm install --offline --no-audit --no-fund --silent && npm run -s build && npm test -s",
        says: "built",
    },
    Project {
        name: "Python",
        needs: "python3",
        files: &[
            ("part/__init__.py", "word = 'built'\n"),
            (
                "test_part.py",
                "import unittest, multiprocessing, tempfile, part\nclass T(unittest.TestCase):\n    def test(self):\n        with multiprocessing.Pool(2) as pool:\n            self.assertEqual(pool.map(len, [part.word]), [5])\n        with tempfile.TemporaryDirectory() as folder:\n            self.assertTrue(folder)\n",
            ),
        ],
        build: "python3 -m venv env && env/bin/python -m unittest -q 2>said || cat said; env/bin/pip --version >/dev/null && env/bin/python -c 'import part; print(part.word)'",
        says: "built",
    },
];

fn is_here(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|said| said.status.success())
}

#[test]
fn projects_are_built() {
    let programs = Programs::new();
    let mut broken = Vec::new();
    for project in &PROJECTS {
        if !is_here(project.needs) {
            println!("skipped: {} project: no {} here", project.name, project.needs);
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in project.files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut command = Command::new(&programs.meshapi);
        command.args(["sandbox", "--", "sh", "-c", project.build]).current_dir(folder.path());
        // What cargo tells its tests is not for the cargo inside.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO")) {
            if name != "CARGO_HOME" {
                command.env_remove(name);
            }
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.trim() != project.says {
            broken.push(format!("{}: {said} {}", project.name, String::from_utf8_lossy(&output.stderr)));
        }
        println!("built inside: {} project: {}", project.name, said.trim());
    }
    assert!(broken.is_empty(), "broken:\n{}", broken.join("\n"));
}
