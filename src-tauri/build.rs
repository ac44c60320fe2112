//! Lets Tauri prepare the desktop program; the headless one needs nothing but the pages it carries inside.

fn main() {
    println!("cargo:rerun-if-changed=src-tauri/build.rs");
    // Without pages (not built yet) there is nothing to watch: a path that is missing would be built again each time.
    if std::path::Path::new("ui/dist/index.html").exists() {
        println!("cargo:rerun-if-changed=ui/dist");
    }
    #[cfg(feature = "desktop")]
    tauri_build::build();
}
