//! Sharing: listeners on the office network's addresses, and the announcement, as long as the clerk wishes it.
//!
//! One listener for each address rather than one for all: the loopback listener stays as it is, adapters that lead to
//! no office stay shut, and a cable that is put back in is followed.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::desk::{Standing, Wishes};
use super::sharing::Sharing;
use crate::clock::Stopwatch;
use crate::config::limits::{LAN_INTERFACE_CHECK, SHARING_NETWORK_WAIT};
use crate::faces::door::{Door, Names};
use crate::lan::{self, Announce, AnnounceOptions};

pub(super) struct Network {
    door: Door,
    names: Names,
    /// Where the first listener listens.
    first: SocketAddr,
    wishes: Wishes,
    sharing: Sharing,
    /// Sharing was interrupted: since when the network is waited for that it was on.
    awaited: Option<Stopwatch>,
    /// It goes on, without anybody's new wish.
    resumed: bool,
    listeners: HashMap<IpAddr, CancellationToken>,
    /// Addresses that could not be listened on: said once each.
    shut: HashSet<IpAddr>,
    announce: Option<Announce>,
    host: Option<watch::Receiver<String>>,
}

impl Network {
    pub(super) fn new(
        door: Door,
        names: Names,
        first: SocketAddr,
        (wishes, sharing): (Wishes, Sharing),
    ) -> Self {
        let awaited = sharing.was_interrupted().then(Stopwatch::start);
        let (listeners, shut) = (HashMap::new(), HashSet::new());
        let (announce, host, resumed) = (None, None, false);
        Self { door, names, first, wishes, sharing, awaited, resumed, listeners, shut, announce, host }
    }

    pub(super) async fn run(mut self, ending: CancellationToken) {
        // Whether somebody wished something since the last round, be it what was so before.
        let mut decided = false;
        loop {
            let (wished, has_changed) = {
                let wish = self.wishes.share.borrow_and_update();
                (*wish, wish.has_changed())
            };
            if decided || has_changed {
                (self.awaited, self.resumed) = (None, false);
            }
            self.look_for_the_old_network();
            let on = wished || self.resumed;
            if on {
                self.open().await;
                self.sharing.goes_on(here().first().copied());
            } else {
                self.close().await;
                if self.awaited.is_none() {
                    self.sharing.ended().await;
                }
            }
            self.tell(on);
            decided = false;
            tokio::select! {
                () = ending.cancelled() => break,
                wish = self.wishes.share.changed() => {
                    if wish.is_err() { break }
                    decided = true;
                }
                renamed = self.wishes.name.changed() => {
                    if renamed.is_err() { break }
                    // The next round announces the new name.
                    self.say_goodbye().await;
                }
                () = host_changed(&mut self.host) => {}
                () = tokio::time::sleep(LAN_INTERFACE_CHECK), if on || self.sharing.is_noted() => {}
            }
        }
        self.close().await;
    }

    /// Sharing that was interrupted goes on once the computer has its old address, which after a start may take a
    /// while.
    fn look_for_the_old_network(&mut self) {
        let Some(since) = self.awaited else { return };
        self.resumed = self.sharing.was_under(here().first().copied());
        if self.resumed {
            tracing::info!("sharing was interrupted, and goes on");
        }
        if self.resumed || since.elapsed() > SHARING_NETWORK_WAIT {
            self.awaited = None;
        }
    }

    async fn open(&mut self) {
        self.door.set_shared(true);
        self.follow_addresses().await;
        if self.announce.is_none() {
            self.announce();
        }
    }

    async fn close(&mut self) {
        for (_, listener) in self.listeners.drain() {
            listener.cancel();
        }
        self.shut.clear();
        self.door.set_shared(false);
        self.say_goodbye().await;
    }

    /// Opens what is new, closes what is gone.
    async fn follow_addresses(&mut self) {
        if self.first.ip().is_unspecified() {
            return;
        }
        let now = here();
        self.shut.retain(|ip| now.contains(ip));
        self.listeners.retain(|ip, listener| {
            let stays = now.contains(ip);
            if !stays {
                listener.cancel();
                tracing::info!(%ip, "no longer shared on this address");
            }
            stays
        });
        for ip in now {
            if ip == self.first.ip() || self.listeners.contains_key(&ip) {
                continue;
            }
            match TcpListener::bind((ip, self.first.port())).await {
                Ok(listener) => {
                    let until = CancellationToken::new();
                    self.listeners.insert(ip, until.clone());
                    self.shut.remove(&ip);
                    let door = self.door.clone();
                    tokio::spawn(async move { door.accept(listener, until).await });
                    tracing::info!(%ip, port = self.first.port(), "shared on this address");
                }
                Err(error) if self.shut.insert(ip) => {
                    tracing::warn!(%ip, port = self.first.port(), %error, "this address cannot be shared on");
                }
                Err(_) => {}
            }
        }
    }

    /// The addresses on which somebody really answers.
    fn heard_on(&self) -> Vec<IpAddr> {
        let mut heard = here();
        heard.retain(|ip| is_served(self.first.ip(), *ip) || self.listeners.contains_key(ip));
        heard
    }

    fn announce(&mut self) {
        let name = self.wishes.name.borrow_and_update().clone();
        let options = AnnounceOptions {
            host_label: lan::host_label(&name),
            office_name: name,
            port: self.first.port(),
            id: self.wishes.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        match Announce::start(&options) {
            Ok(announce) => {
                self.host = Some(announce.host_name());
                self.announce = Some(announce);
            }
            // The address with its number still works, so this is no reason not to share.
            Err(error) => tracing::warn!(%error, "not announced"),
        }
    }

    async fn say_goodbye(&mut self) {
        self.host = None;
        if let Some(announce) = self.announce.take() {
            announce.stop().await;
        }
    }

    /// Tells the door and the page how the office stands.
    fn tell(&mut self, shared: bool) {
        let host = self.host.as_mut().map(|host| host.borrow_and_update().clone());
        let (heard_on, is_shut) = (self.heard_on(), !self.shut.is_empty());
        self.names.set_local(host.as_deref());
        self.wishes.done.send_if_modified(|standing| {
            let now = Standing { shared, heard_on, is_shut, host };
            let changed = *standing != now;
            *standing = now;
            changed
        });
    }
}

/// Whether the first listener takes what comes to this address. One for all IPv4 addresses hears no IPv6; one for all
/// IPv6 addresses hears IPv4 as well, but not on Windows.
fn is_served(first: IpAddr, ip: IpAddr) -> bool {
    let both = first.is_ipv6() && cfg!(not(windows));
    first == ip || (first.is_unspecified() && (both || first.is_ipv4() == ip.is_ipv4()))
}

/// This computer's addresses on the office's network, the main one first.
fn here() -> Vec<IpAddr> {
    lan::addresses().into_iter().map(|address| address.ip).collect()
}

/// Another host may have our name: then the network gives us a new one.
async fn host_changed(host: &mut Option<watch::Receiver<String>>) {
    if let Some(host) = host
        && host.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn only_what_the_first_listener_hears_counts_as_served() {
        let (v4, v6): (IpAddr, IpAddr) = ([192, 168, 1, 7].into(), "fd00::7".parse().unwrap());
        let [all_v4, all_v6]: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        assert!(is_served(all_v4, v4) && !is_served(all_v4, v6), "0.0.0.0 hears no IPv6");
        assert!(is_served(all_v6, v6));
        assert_eq!(is_served(all_v6, v4), cfg!(not(windows)));
        assert!(is_served(v4, v4) && !is_served(v4, v6));
        assert!(!is_served(Ipv4Addr::LOCALHOST.into(), v4));
    }
}
