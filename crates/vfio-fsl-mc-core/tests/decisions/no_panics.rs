// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Nothing in the logic can panic: compiled as the kernel compiles it, with
//! checks of arithmetic, no call of a panic is left.

use std::{env, fs, path::Path, process::Command};

/// Makes the compiler generate what has type parameters.
const ROOT: &str = "
#![no_std]
#![forbid(unsafe_code)]
#[path = \"LOGIC\"]
pub mod logic;
pub fn pool_size(counts: &[u32]) -> u32 {
    logic::vectors::pool_size(counts.iter().copied())
}
pub fn decide(
    command: &logic::command::Command,
    own_token: &dyn Fn() -> u16,
    mode: &dyn Fn() -> logic::policy::Mode,
) -> logic::policy::Verdict {
    logic::policy::decide(command, own_token, mode)
}
";

/// The code of `source` after optimisation, as the compiler's back end writes it.
fn compiled(name: &str, source: &str) -> String {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&scratch).expect("scratch folder");
    let (root, code) = (scratch.join("root.rs"), scratch.join("root.ll"));
    fs::write(&root, source).expect("source written");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(rustc)
        .args(["--edition=2021", "--crate-type=lib", "--emit=llvm-ir", "-O"])
        .args(["-Coverflow-checks=on", "-Cpanic=abort", "-Ccodegen-units=1"])
        // Incremental compilation leaves no small function to its callers.
        .arg(format!(
            "-Cincremental={}",
            scratch.join("incremental").display()
        ))
        .arg("-o")
        .args([&code, &root])
        .status()
        .expect("rustc runs");
    assert!(status.success(), "{}: {status}", root.display());
    fs::read_to_string(&code).expect("code written")
}

fn panics(code: &str) -> Vec<&str> {
    code.lines()
        .filter(|line| line.contains("panic") && line.starts_with("declare"))
        .collect()
}

#[test]
fn the_logic_cannot_panic() {
    let logic = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/logic/mod.rs");
    let code = compiled(
        "logic",
        &ROOT.replace("LOGIC", logic.to_str().expect("a plain path")),
    );
    assert_eq!(panics(&code), Vec::<&str>::new());
    for function in [
        "check_map",
        "validate",
        "decide",
        "before_command",
        "reserve",
        "release",
        "starts_tick",
        "takes_question",
    ] {
        let defined = |line: &str| line.starts_with("define") && line.contains(function);
        assert!(code.lines().any(defined), "{function} was compiled");
    }
}

/// The test above would notice.
#[test]
fn a_panic_is_noticed() {
    let code = compiled("sample", "#![no_std]\npub fn next(n: u32) -> u32 { n + 1 }");
    assert_eq!(panics(&code).len(), 1, "{code}");
}
