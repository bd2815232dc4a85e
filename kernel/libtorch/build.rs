//! Compiles `shim.cpp` against the headers of `LIBTORCH`, which the crate `tch` is compiled against, too.

use std::path::PathBuf;

fn main() {
    if cfg!(feature = "doc-only") {
        return;
    }
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=src/shim.cpp");
    let folder = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let folder = folder.expect("LIBTORCH must be set to a folder with libtorch 2.11.0");
    let include = folder.join("include");
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .includes([include.join("torch/csrc/api/include"), include])
        .flag("-std=c++17")
        .file("src/shim.cpp")
        .compile("benchbook_libtorch_shim");
}
