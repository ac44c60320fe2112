//! Builds every part of the office, owns all tasks, and the order of start and stop.

mod central;
mod channels;
mod desk;
mod followers;
mod forum;
mod handle;
mod network;
mod runtime;
mod sharing;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use handle::Handle;
pub use runtime::runtime;

use crate::auth::{AdminFileError, Auth, KeyError};
use crate::bus::{Bus, BusError, BusOptions};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::limits::STOP_DEADLINE;
use crate::faces::door::{self, Door, Guard, Names, Refusals};
use crate::faces::own::{self, OwnFace};
use crate::faces::sio::{Origins, Sio, SioOptions};
use crate::faces::yjs::{self, YjsFace};
use crate::records::Records;
use crate::rooms::{Documents, Rooms};
use crate::scribe::Scribe;
use crate::store::{self, Store};
use crate::telemetry::Metrics;
use central::Central;
use channels::Channels;
use desk::FrontDesk;
use followers::Followers;
use forum::Forum;
use network::Network;
use sharing::Sharing;

/// Why the office did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("another Townhall already uses the folder {0}")]
    InUse(PathBuf),
    /// What is stored cannot be used.
    #[error("the folder {folder} cannot be used: {why}")]
    Store {
        /// The data folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: store::OpenError,
    },
    /// The bus cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// `admin.token` cannot be used.
    #[error(transparent)]
    Admin(#[from] AdminFileError),
    /// The public key of the forum's tokens cannot be used.
    #[error(transparent)]
    ForumKey(#[from] KeyError),
    /// The settings of the office cannot be read.
    #[error("the office's settings cannot be read: {0}")]
    Settings(String),
    /// The listener does not say where it listens.
    #[error("the address cannot be listened on: {0}")]
    Listen(#[from] std::io::Error),
}

/// Why the office stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A part that has to run as long as the office ended.
    #[error("a part of the server ended unexpectedly: {0}")]
    Ended(String),
}

/// An office that is open: everything is built, nobody is let in before [`Server::run`].
pub struct Server {
    listener: TcpListener,
    handle: Handle,
    store: Store,
    bus: Bus,
    rooms: Rooms,
    sio: Sio,
    channels: Channels,
    forum: Option<Forum>,
    auth: Auth,
    door: Door,
    network: Network,
    followers: Followers,
    share: bool,
}

impl Server {
    /// Opens the data folder and builds every part. Call it inside a runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: Config, listener: TcpListener) -> Result<Self, OpenError> {
        let address = listener.local_addr()?;
        let (clock, metrics) = (Clock::real(), Metrics::new());
        let store = open_store(&config, &clock, &metrics)?;
        let central = Central::read(&store, config.central.clone())?;
        let bus = Bus::open_with(
            &config.data.join("bus"),
            &clock,
            BusOptions { store: store.clone(), central: central.url(), metrics: metrics.clone() },
        )?;
        let auth = Auth::open(&config.data, store.clone(), bus.clone(), clock.clone())?;
        let (channels, loomio) = Channels::new(&config, (&auth, &bus), (&store, &clock, &metrics));
        let forum = Forum::open(&config, &bus, (&store, &clock, &metrics), channels.spaces())?;
        let realtime = config.realtime.clone();
        let rooms = Rooms::with(store.clone(), metrics.clone(), documents(&config), realtime);
        log_start(&config, address);
        let names = Names::new(config.hosts, config.origins.clone(), config.channels_origins.clone());
        let pages = [config.channels_origins, config.origins].concat();
        let options = SioOptions { origins: Origins::These(pages), ..SioOptions::default() };
        let sio = Sio::new(forum::before(forum.as_ref(), channels.dialects()), options, &metrics);
        let (desk, wishes) = FrontDesk::open(store.clone(), bus.clone(), &central, address)?;
        let records = Records::new(store.clone(), Scribe::new(config.scribe_program), clock.clone());
        let own = own::routes(OwnFace {
            auth: auth.clone(),
            records: records.clone(),
            rooms: rooms.clone(),
            metrics: metrics.clone(),
            bus: bus.clone(),
            spaces: channels.spaces().clone(),
            started_ms: clock.now_ms(),
            clock: clock.clone(),
            desk: desk.clone(),
        });
        let yjs = yjs::routes(YjsFace {
            rooms: rooms.clone(),
            auth: auth.clone(),
            metrics: metrics.clone(),
            query_tokens: config.query_tokens,
        });
        let guard = Guard {
            names: names.clone(),
            auth: auth.clone(),
            metrics: metrics.clone(),
            refusals: Refusals::default(),
        };
        let routes = door::stack(yjs.merge(sio.routes()).merge(loomio).merge(own), guard);
        let door = Door::new(routes, config.realtime.connections_per_ip, metrics.clone());
        let sharing = Sharing::new(store.clone(), clock.clone());
        let network = Network::new(door.clone(), names, address, (wishes, sharing));
        let handle = Handle::new(auth.clone(), bus.clone(), desk);
        let followers = Followers { store: store.clone(), bus: bus.clone(), records, clock, metrics };
        Ok(Self {
            listener,
            handle,
            store,
            bus,
            rooms,
            sio,
            channels,
            forum,
            auth,
            door,
            network,
            followers,
            share: config.share,
        })
    }

    /// Where this computer reaches the office.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// A new one-time link for this computer's window; see [`Handle::window_link`].
    #[must_use]
    pub fn window_link(&self) -> String {
        self.handle.window_link()
    }

    /// A handle for whoever shows the office: the tray, the window.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `stop` is done, then stops gracefully within [`STOP_DEADLINE`].
    ///
    /// # Errors
    /// When a part ended that has to run.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let ending = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (door, auth) = (self.door.clone(), self.auth.clone());
        let channels = self.channels.open().await?;
        let loomio = channels.loomio.clone();
        tasks.spawn(async move { loomio.keep_watch().await });
        tasks.spawn(async move { door.accept(self.listener, CancellationToken::new()).await });
        tasks.spawn(async move { auth.keep_time().await });
        let mut network = tokio::spawn(self.network.run(ending.clone()));
        let followers = tokio::spawn(self.followers.run(ending.clone()));
        if self.share {
            self.handle.share(true).await;
        }
        let result = tokio::select! {
            () = stop => Ok(()),
            Some(ended) = tasks.join_next() => {
                Err(RunError::Ended(ended.err().map_or_else(|| "it returned".to_owned(), |e| e.to_string())))
            }
            ended = &mut network => {
                network = tokio::spawn(std::future::ready(()));
                Err(RunError::Ended(ended.err().map_or_else(|| "the network".to_owned(), |e| e.to_string())))
            }
        };
        tracing::info!("stopping");
        if result.is_ok() {
            // At once: a stop may be cut short. Whoever fell did not end it.
            sharing::forget_in(&self.store);
        }
        let (door, rooms, sio, forum) = (self.door, self.rooms, self.sio, self.forum);
        let (store, bus) = (self.store, self.bus);
        let goodbye = async {
            door.close();
            tokio::join!(rooms.stop(), async {
                sio.stop().await;
                channels.stop().await;
                if let Some(forum) = forum {
                    forum.stop().await;
                }
            });
            ending.cancel();
            for (part, task) in [("network", network), ("followers", followers)] {
                if let Err(error) = task.await {
                    tracing::error!(%error, part, "a part failed");
                }
            }
            door.emptied().await;
            door.end_all();
            let closing = tokio::task::spawn_blocking(move || {
                store.close();
                bus.close();
            });
            if let Err(error) = closing.await {
                tracing::error!(%error, "the store did not close");
            }
        };
        if tokio::time::timeout(STOP_DEADLINE, goodbye).await.is_err() {
            tracing::error!("the stop took too long and was cut short; nothing acknowledged is lost");
        }
        tasks.shutdown().await;
        tracing::info!("stopped");
        result
    }
}

fn open_store(config: &Config, clock: &Clock, metrics: &Metrics) -> Result<Store, OpenError> {
    Store::open(&config.data, clock, metrics).map_err(|why| match why {
        store::OpenError::InUse => OpenError::InUse(config.data.clone()),
        why => OpenError::Store { folder: config.data.clone(), why },
    })
}

fn documents(config: &Config) -> Documents {
    Documents { free: config.documents_free, loomio_decides: config.loomio.app_url.is_some() }
}

/// What was resolved, once; there are no secrets in it.
fn log_start(config: &Config, address: SocketAddr) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        folder = %config.data.display(),
        %address,
        share = config.share,
        documents_free = config.documents_free,
        query_tokens = config.query_tokens,
        redis = config.central.as_ref().map(ToString::to_string),
        realtime = ?config.realtime,
        loomio = ?config.loomio,
        "the office is open"
    );
    if !config.realtime.without_effect.is_empty() {
        tracing::warn!(keys = ?config.realtime.without_effect, "these settings are accepted and change nothing");
    }
}

/// The office's own URL on this computer.
fn here_url(address: SocketAddr) -> String {
    let mut here = address;
    if here.ip().is_unspecified() {
        let loopback: std::net::IpAddr = if here.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        here.set_ip(loopback);
    }
    format!("http://{here}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_computer_always_has_an_address_to_type() {
        for (address, url) in [
            ("127.0.0.1:3001", "http://127.0.0.1:3001/"),
            ("0.0.0.0:3001", "http://127.0.0.1:3001/"),
            ("[::]:3001", "http://[::1]:3001/"),
            ("10.0.0.5:80", "http://10.0.0.5:80/"),
        ] {
            assert_eq!(here_url(address.parse().unwrap()), url);
        }
    }
}
