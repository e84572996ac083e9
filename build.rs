//! Tells the linker where libtorch lies, so that no environment variable is
//! needed to start what this package builds, and compiles what stands between
//! Rust and llama.cpp.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Set by the build script of torch-sys, with the feature `transformers` alone.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    #[cfg(feature = "llama-cpp")]
    compile_guard();
}

#[cfg(feature = "llama-cpp")]
fn compile_guard() {
    const SOURCE: &str = "src/backend/llama_cpp/guard.cpp";

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
