//! The forum as a part of the office: there when a key for its tokens is.

use std::sync::Arc;

use super::OpenError;
use crate::auth::JwtKeys;
use crate::bus::{Bus, Consuming, Pattern};
use crate::clock::Clock;
use crate::config::Config;
use crate::faces::curia::{Closed, Curia, CuriaFace, OpenSpace};
use crate::faces::sio::Dialect;
use crate::faces::{FORUM_CHANNEL, FORUM_PEOPLE_CHANNEL};
use crate::follow::emitted::Emitters;
use crate::rooms::space::{Space, SpaceOptions, Spaces};
use crate::store::Store;
use crate::telemetry::Metrics;

/// The forum's dialect before the others: its clients bring a token of their own, or nothing while nobody is logged in.
/// Where there is no forum its clients are told so, after nobody else wanted them.
pub(super) fn before(forum: Option<&Forum>, others: Vec<Arc<dyn Dialect>>) -> Vec<Arc<dyn Dialect>> {
    let closed = forum.is_none().then(|| Arc::new(Closed) as Arc<dyn Dialect>);
    let forum = forum.map(|forum| forum.curia.clone() as Arc<dyn Dialect>);
    forum.into_iter().chain(others).chain(closed).collect()
}

/// The forum, and its ear on the bus.
pub(super) struct Forum {
    pub(super) curia: Arc<Curia>,
    listening: Consuming,
}

impl Forum {
    /// Opens it, if somebody configured a key.
    pub(super) fn open(
        config: &Config,
        bus: &Bus,
        (store, clock, metrics): (&Store, &Clock, &Metrics),
        all: &Spaces,
    ) -> Result<Option<Self>, OpenError> {
        let options = SpaceOptions { window: config.channels_window, ..SpaceOptions::default() };
        let config = config.curia.clone();
        let secret = config.jwt_secret.as_ref().map(|secret| secret.reveal());
        let Some(keys) = JwtKeys::open(secret, config.jwt_public_key_file.as_deref())? else {
            return Ok(None);
        };
        tracing::info!(tokens = ?keys, "the forum is open");
        let (kept, time, figures, all) = (store.clone(), clock.clone(), metrics.clone(), all.clone());
        let space: OpenSpace = Box::new(move || {
            let (store, clock, metrics) = (kept.clone(), time.clone(), figures.clone());
            let all = all.clone();
            Box::pin(async move {
                let space = Space::open("curia", Some(store), clock, metrics, options).await?;
                all.add("curia", &space);
                Ok(space)
            })
        });
        let (shared, clock, metrics) = (bus.clone(), clock.clone(), metrics.clone());
        let curia = Arc::new(Curia::new(CuriaFace { keys, bus: shared, space, clock, metrics, config }));
        let channels = [FORUM_CHANNEL, FORUM_PEOPLE_CHANNEL].map(Pattern::channel);
        let patterns = [channels.as_slice(), &[Emitters::pattern()]].concat();
        let listening = bus.consume(&patterns, curia.clone())?;
        Ok(Some(Self { curia, listening }))
    }

    /// Ends it: nothing more is heard, sessions wait on disk.
    pub(super) async fn stop(self) {
        drop(self.listening);
        self.curia.stop().await;
    }
}
