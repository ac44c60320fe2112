//! What our page may ask of the server itself.

use std::future::Future;
use std::pin::Pin;

use crate::config::CentralUrl;

/// An address of this computer on the office network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Address {
    /// To be typed into a browser.
    pub url: String,
    /// The address alone.
    pub ip: String,
    /// The network adapter.
    pub interface: String,
    /// Whether it is the one to show first.
    pub main: bool,
}

/// The office as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OfficeState {
    /// The office's lasting id: what a browser keeps for it is kept under this name, whatever the address is today.
    pub id: String,
    /// What the office is called.
    pub name: String,
    /// The program's version.
    pub version: &'static str,
    /// Whether other computers may come in.
    pub sharing: bool,
    /// Where they find us, the main address first.
    pub addresses: Vec<Address>,
    /// An address of the network could not be opened: another program has its port, or it is forbidden.
    pub shut: bool,
    /// The nice form of the address, where the network knows names.
    pub local_url: Option<String>,
    /// `writable`, `full` or `faulty`.
    pub store: &'static str,
}

/// A QR code as one SVG path of 1×1 modules.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Picture {
    /// Modules on one side.
    pub size: usize,
    /// The `d` of an SVG path.
    pub path: String,
}

/// Why something was not kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("it could not be saved: {0}")]
pub struct DeskError(pub String);

/// An answer that takes a while.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server, as far as its own page may ask and tell it things. A trait since a face knows neither the network's
/// names nor the store; the server does.
pub trait Desk: Send + Sync {
    /// The office as it is now.
    fn office(&self) -> OfficeState;
    /// Where this computer's own browser finds the office.
    fn here_url(&self) -> String;
    /// Renames the office; it is on disk when this is done.
    fn rename(&self, name: String) -> Later<'_, Result<(), DeskError>>;
    /// Lets other computers in or shuts them out; done when the listeners are open or closed.
    fn share(&self, on: bool) -> Later<'_, ()>;
    /// Whether the central Redis was said at the start, so that a page cannot choose another.
    fn central_said(&self) -> bool;
    /// Another central Redis from now on, or none; the choice is on disk when this is done.
    fn choose_central(&self, url: Option<CentralUrl>) -> Later<'_, Result<(), DeskError>>;
    /// A QR code for a text; `None` when it is too long for one.
    fn picture(&self, text: &str) -> Option<Picture>;
}
