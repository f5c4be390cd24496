//! How the program is linked.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=first.ld");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let is_gnu = target("OS") == "linux" && target("ENV") == "gnu";
    if is_gnu && ["x86_64", "aarch64"].contains(&target("ARCH").as_str()) {
        // Each confined command starts this program once more, and the loader then has 34,000 addresses to write: 0.33 ms of
        // 1.4. At a fixed place there are none; what that gives up is in SECURITY.md.
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
    if is_gnu {
        own_unwinder();
    }
    // What runs first lies side by side instead of all over 16 MB: an idle gateway takes a quarter less memory, and a start has a
    // tenth fewer page faults. `cargo xtask layout` watched which functions those are.
    if is_gnu && target("ARCH") == "x86_64" && is_release() && !has_own_linker() {
        let script = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("first.ld");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
}

/// Takes the unwinder into the program, where the compiler brings it as an archive: a shared library less is 0.1 ms of a start.
fn own_unwinder() {
    if std::env::var("HOST").ok() != std::env::var("TARGET").ok() || has_own_linker() {
        return;
    }
    let found = std::process::Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    let found =
        found.map(|found| String::from_utf8_lossy(&found.stdout).trim().to_owned()).unwrap_or_default();
    // A compiler that has none says the bare name.
    if let Some(folder) = Path::new(&found).parent().filter(|folder| folder.is_absolute()) {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Tests and debugging need no order.
fn is_release() -> bool {
    std::env::var("PROFILE").is_ok_and(|profile| profile == "release")
}

/// Whether somebody has chosen a linker, which may know no such scripts.
fn has_own_linker() -> bool {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    std::env::var_os("RUSTC_LINKER").is_some() || flags.contains("link")
}
