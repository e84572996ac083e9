//! Tells the linker where libtorch lies, so that no environment variable is needed to start what
//! this package builds.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Set by the build script of elpis.
    println!("cargo:rerun-if-env-changed=DEP_ELPIS_LIBTORCH_LIB");
    if let Ok(folder) = std::env::var("DEP_ELPIS_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
