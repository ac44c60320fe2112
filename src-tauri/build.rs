//! Lets Tauri prepare the desktop program; the headless one needs nothing.

fn main() {
    #[cfg(feature = "desktop")]
    tauri_build::build();
}
