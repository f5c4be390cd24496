//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let is_known = target("OS") == "linux"
        && target("ENV") == "gnu"
        && ["x86_64", "aarch64"].contains(&target("ARCH").as_str());
    if is_known {
        // Each confined command starts this program once more, and the loader then has 34,000 addresses to write: 0.33 ms of
        // 1.4. At a fixed place there are none; what that gives up is in SECURITY.md.
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
