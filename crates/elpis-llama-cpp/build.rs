//! Compiles what stands between Rust and llama.cpp: a guard against C++ exceptions and assertions.

fn main() {
    const SOURCE: &str = "src/guard.cpp";

    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={SOURCE}");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").file(SOURCE);
    // The bindings build llama.cpp with OpenMP but for Apple's systems and Android.
    if !matches!(target.as_str(), "macos" | "ios" | "android") {
        build.define("ELPIS_OPENMP", None);
    }
    build.compile("elpis_guard");
}
