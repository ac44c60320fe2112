//! The server's answers to its own page: the office's name, its addresses, sharing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

use super::central::Central;
use super::{OpenError, here_url};
use crate::bus::Bus;
use crate::config::CentralUrl;
use crate::config::limits::LAN_SHARE_WAIT;
use crate::faces::own::{Address, Desk, DeskError, Later, OfficeState, Picture};
use crate::lan;
use crate::store::{Store, StoreState, Table, Write};

/// The rows of [`Table::Settings`] that are the office's.
const NAME: &[u8] = b"office_name";
const ID: &[u8] = b"office_id";
/// What an office is called until somebody names it.
const NAME_DEFAULT: &str = "Townhall";

/// What is wished for, and what has been done about it.
pub(super) struct Wishes {
    /// Whether to share.
    pub(super) share: watch::Receiver<bool>,
    /// What the office is called.
    pub(super) name: watch::Receiver<String>,
    /// The office's lasting id.
    pub(super) id: String,
    /// How it stands.
    pub(super) done: watch::Sender<Standing>,
}

/// How the office stands on the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether other computers may come in.
    pub(super) shared: bool,
    /// The addresses on which it listens.
    pub(super) heard_on: Vec<IpAddr>,
    /// An address of the network could not be listened on.
    pub(super) is_shut: bool,
    /// The name under which it is announced.
    pub(super) host: Option<String>,
}

pub(super) struct FrontDesk {
    id: String,
    store: Store,
    bus: Bus,
    /// Whether the central server was said at the start.
    central_said: bool,
    store_state: watch::Receiver<StoreState>,
    address: SocketAddr,
    share: watch::Sender<bool>,
    name: watch::Sender<String>,
    standing: watch::Receiver<Standing>,
}

impl FrontDesk {
    pub(super) fn open(
        store: Store,
        bus: Bus,
        central: &Central,
        address: SocketAddr,
    ) -> Result<(Arc<Self>, Wishes), OpenError> {
        let setting = |key| {
            let row = store.get(Table::Settings, key).map_err(|e| OpenError::Settings(e.to_string()))?;
            Ok::<_, OpenError>(row.and_then(|row| String::from_utf8(row.to_vec()).ok()))
        };
        let id = match setting(ID)? {
            Some(id) => id,
            None => new_id(&store)?,
        };
        let name = setting(NAME)?.unwrap_or_else(|| NAME_DEFAULT.to_owned());
        let (share, wish_share) = watch::channel(false);
        let (name, wish_name) = watch::channel(name);
        let (done, standing) = watch::channel(Standing::default());
        let wishes = Wishes { share: wish_share, name: wish_name, id: id.clone(), done };
        let store_state = store.state();
        let central_said = matches!(central, Central::Said(_));
        let desk = Self { id, store, bus, central_said, store_state, address, share, name, standing };
        Ok((Arc::new(desk), wishes))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    async fn keep(&self, write: Write) -> Result<(), DeskError> {
        let done = self.store.commit(vec![write]).map_err(|error| DeskError(error.to_string()))?;
        match done.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(DeskError(error.to_string())),
            Err(_) => Err(DeskError("the store is closed".to_owned())),
        }
    }

    /// Those of this computer's addresses where it listens: no others are shown.
    fn addresses(&self, heard_on: &[IpAddr]) -> Vec<Address> {
        let port = self.address.port();
        let heard = lan::addresses().into_iter().filter(|found| heard_on.contains(&found.ip));
        let found = heard.map(|found| Address {
            url: format!("http://{}/", SocketAddr::new(found.ip, port)),
            ip: found.ip.to_string(),
            interface: found.interface,
            main: found.main,
        });
        found.collect()
    }
}

/// Makes the office's id. When the disk does not take it now, the next start makes another.
fn new_id(store: &Store) -> Result<String, OpenError> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|e| OpenError::Settings(e.to_string()))?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let put = Write::Put { table: Table::Settings, key: ID.into(), value: id.clone().into() };
    if let Err(error) = store.commit(vec![put]) {
        tracing::warn!(%error, "the office's id was not saved");
    }
    Ok(id)
}

impl Desk for FrontDesk {
    fn office(&self) -> OfficeState {
        let (standing, store) = (self.standing.borrow().clone(), *self.store_state.borrow());
        let port = self.address.port();
        let local_url = standing.host.map(|host| format!("http://{}:{port}/", host.trim_end_matches('.')));
        OfficeState {
            id: self.id.clone(),
            name: self.name.borrow().clone(),
            version: env!("CARGO_PKG_VERSION"),
            sharing: standing.shared,
            addresses: if standing.shared { self.addresses(&standing.heard_on) } else { Vec::new() },
            shut: standing.shared && standing.is_shut,
            local_url,
            store: match store {
                StoreState::Writable => "writable",
                StoreState::Full => "full",
                StoreState::Faulty => "faulty",
            },
        }
    }

    fn here_url(&self) -> String {
        here_url(self.address)
    }

    fn rename(&self, name: String) -> Later<'_, Result<(), DeskError>> {
        Box::pin(async move {
            let put = Write::Put { table: Table::Settings, key: NAME.into(), value: name.clone().into() };
            self.keep(put).await?;
            self.name.send_replace(name);
            Ok(())
        })
    }

    fn central_said(&self) -> bool {
        self.central_said
    }

    fn choose_central(&self, url: Option<CentralUrl>) -> Later<'_, Result<(), DeskError>> {
        Box::pin(async move {
            self.keep(Central::keep(url.as_ref())).await?;
            self.bus.choose_central(url);
            Ok(())
        })
    }

    fn share(&self, on: bool) -> Later<'_, ()> {
        Box::pin(async move {
            self.share.send_replace(on);
            let mut standing = self.standing.clone();
            let applied = standing.wait_for(|standing| standing.shared == on);
            if tokio::time::timeout(LAN_SHARE_WAIT, applied).await.is_err() {
                tracing::warn!(on, "sharing takes long to change");
            }
        })
    }

    fn picture(&self, text: &str) -> Option<Picture> {
        lan::qr(text).ok().map(|qr| Picture { size: qr.size, path: qr.path })
    }
}
