//! The console's files may appear after a build without them.

fn main() {
    println!("cargo:rerun-if-changed=console/dist");
}
