//! Says on the local network that the office is here (mDNS, RFC 6762 and 6763), and that it leaves.
//!
//! Owns the announcement and the name under which it really stands; the only place that names `mdns_sd`. Does not know
//! what is served: a name on the network is a hint, never a proof.

use std::time::Duration;

use mdns_sd::{
    DaemonEvent, DnsNameChange, IfKind, IfPredicate, RRType, Receiver, ServiceDaemon, ServiceInfo,
    TxtProperty,
};
use thiserror::Error;
use tokio::sync::watch;

use super::addresses::leads_to_the_office;
use crate::config::limits::{LAN_GOODBYE, LAN_INTERFACE_CHECK};

/// What offices are announced as.
pub const OFFICE_TYPE: &str = "_townhall._tcp.local.";
/// A label of the domain name system is at most this long (RFC 1035, section 2.3.4).
const LABEL_MAX_BYTES: usize = 63;
/// Room for the ` (2)` that a conflict appends to the name.
const NAME_MAX_BYTES: usize = LABEL_MAX_BYTES - 6;

/// What the network is told.
#[derive(Debug, Clone)]
pub struct AnnounceOptions {
    /// The office's name, for people.
    pub office_name: String,
    /// The host name without `.local`, plain ASCII; see [`super::host_label`].
    pub host_label: String,
    /// The port of the server.
    pub port: u16,
    /// The office's lasting id, so that two offices of one name are told apart.
    pub id: String,
    /// The program's version.
    pub version: String,
}

/// Why the office could not be announced. It is still reached by its address.
#[derive(Debug, Error)]
pub enum AnnounceError {
    /// The network's announcement channel did not open: another program holds it, or it is forbidden.
    #[error("the office could not be announced on the network: {0}")]
    Network(String),
}

impl From<mdns_sd::Error> for AnnounceError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Network(error.to_string())
    }
}

/// A running announcement. Dropping it without [`Announce::stop`] leaves without a goodbye.
pub struct Announce {
    daemon: ServiceDaemon,
    full_name: String,
    host: watch::Receiver<String>,
}

impl Announce {
    /// Starts to announce the office on every adapter that leads to colleagues, now and whenever one returns.
    ///
    /// # Errors
    /// When the network does not allow it.
    pub fn start(options: &AnnounceOptions) -> Result<Self, AnnounceError> {
        let info = described(options)?;
        let daemon = ServiceDaemon::new()?;
        daemon.set_ip_check_interval(u32::try_from(LAN_INTERFACE_CHECK.as_secs()).unwrap_or(1))?;
        let elsewhere = IfPredicate::new(|adapter| !leads_to_the_office(adapter));
        daemon.disable_interface(vec![
            IfKind::LoopbackV4,
            IfKind::LoopbackV6,
            IfKind::Predicate(elsewhere),
        ])?;
        let events = daemon.monitor()?;
        let full_name = info.get_fullname().to_owned();
        let (host_tell, host) = watch::channel(without_dot(info.get_hostname()));
        daemon.register(info.clone())?;
        let speaker = daemon.clone();
        // Its channel closes with the daemon, so this thread ends by itself.
        std::thread::Builder::new()
            .name("lan-announce".to_owned())
            .spawn(move || follow(&events, &speaker, &info, &host_tell))
            .map_err(|error| AnnounceError::Network(error.to_string()))?;
        tracing::info!(host = %*host.borrow(), port = options.port, "announced on the network");
        Ok(Self { daemon, full_name, host })
    }

    /// The host name under which the office really stands (`townhall.local`); it changes when another host has it.
    #[must_use]
    pub fn host_name(&self) -> watch::Receiver<String> {
        self.host.clone()
    }

    /// Says goodbye, so that nobody is shown an office that is gone, and ends.
    pub async fn stop(self) {
        let (daemon, full_name) = (self.daemon.clone(), self.full_name.clone());
        let goodbye = tokio::task::spawn_blocking(move || {
            let half = LAN_GOODBYE / 2;
            match daemon.unregister(&full_name) {
                Ok(done) => wait(&done, half),
                Err(error) => tracing::debug!(%error, "no goodbye on the network"),
            }
            if let Ok(done) = daemon.shutdown() {
                wait(&done, half);
            }
        });
        if tokio::time::timeout(LAN_GOODBYE, goodbye).await.is_err() {
            tracing::warn!("the goodbye on the network took too long");
        }
    }
}

impl Drop for Announce {
    fn drop(&mut self) {
        // After `stop` the daemon is gone already and says so.
        drop(self.daemon.shutdown());
    }
}

/// Reads what happens to the announcement, for as long as it lives; the events' queue is bounded and must be drained.
fn follow(
    events: &Receiver<DaemonEvent>,
    daemon: &ServiceDaemon,
    info: &ServiceInfo,
    host: &watch::Sender<String>,
) {
    for event in events.iter() {
        match event {
            DaemonEvent::NameChange(change) if names_the_host(&change) => {
                let name = without_dot(&change.new_name);
                tracing::info!(%name, "another computer has the host name, so ours has changed");
                host.send_replace(name);
            }
            DaemonEvent::NameChange(change) => {
                tracing::info!(name = %change.new_name, "another office has the name, so ours has changed");
            }
            // An adapter that returns with the address it had is not announced again by itself.
            DaemonEvent::IpAdd(ip) => {
                tracing::debug!(%ip, "a network address came");
                if let Err(error) = daemon.register(info.clone()) {
                    tracing::warn!(%error, "the office could not be announced again");
                }
            }
            DaemonEvent::IpDel(ip) => tracing::debug!(%ip, "a network address went"),
            DaemonEvent::Error(error) => tracing::warn!(%error, "announcing on the network"),
            _ => {}
        }
    }
}

fn described(options: &AnnounceOptions) -> Result<ServiceInfo, AnnounceError> {
    let name = shortened(options.office_name.trim(), NAME_MAX_BYTES);
    let name = if name.is_empty() { "Townhall" } else { name };
    let host = format!("{}.local.", options.host_label);
    let say = |key: &str, value: &str| TxtProperty::from(&(key, shortened(value, 200)));
    let properties =
        vec![say("id", &options.id), say("v", &options.version), say("path", "/"), say("proto", "http")];
    Ok(ServiceInfo::new(OFFICE_TYPE, name, &host, "", options.port, properties)?.enable_addr_auto())
}

fn names_the_host(change: &DnsNameChange) -> bool {
    matches!(change.rr_type, RRType::A | RRType::AAAA)
}

fn without_dot(name: &str) -> String {
    name.trim_end_matches('.').to_owned()
}

/// The start of a text that fits into so many bytes.
fn shortened(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

fn wait<T>(done: &Receiver<T>, at_most: Duration) {
    if done.recv_timeout(at_most).is_err() {
        tracing::debug!("the network's announcer did not answer in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_accents_and_dots_fits_into_one_label() {
        let options = AnnounceOptions {
            office_name: format!("Mairie de St. Étienne {}", "é".repeat(80)),
            host_label: "mairie".to_owned(),
            port: 3001,
            id: "4f2a".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let info = described(&options).unwrap();
        assert_eq!(info.get_hostname(), "mairie.local.");
        assert_eq!(info.get_property_val_str("id"), Some("4f2a"));
        assert_eq!(info.get_property_val_str("path"), Some("/"));
        assert!(info.get_fullname().ends_with("._townhall._tcp.local."));
        assert_eq!(shortened("éé", 3), "é");
    }
}
