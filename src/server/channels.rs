//! The channels: the dialects on Socket.IO, their spaces, and what feeds them.
//!
//! Owns the order in which they open and end: spaces before anybody is let in, after everybody is out.

use std::sync::Arc;

use axum::Router;

use super::RunError;
use crate::auth::{App, Auth};
use crate::bus::{Bus, Consuming};
use crate::clock::Clock;
use crate::config::Config;
use crate::faces::loomio::{self, Bots, LoomioChannels, LoomioFace};
use crate::faces::sio::Dialect;
use crate::follow::emitted::Emitters;
use crate::outbound::Outbound;
use crate::rooms::space::{Space, SpaceOptions, Spaces};
use crate::store::Store;
use crate::telemetry::Metrics;

/// The dialects, before their spaces are open.
pub(super) struct Channels {
    loomio: LoomioChannels,
    all: Spaces,
    options: SpaceOptions,
    bus: Bus,
    store: Store,
    clock: Clock,
    metrics: Metrics,
}

/// The dialects at work.
pub(super) struct OpenChannels {
    pub(super) loomio: LoomioChannels,
    spaces: Vec<Space>,
    _feeds: Vec<Consuming>,
}

impl Channels {
    /// Builds the dialects, and the routes that belong to them beside the transport.
    pub(super) fn new(
        config: &Config,
        (auth, bus): (&Auth, &Bus),
        (store, clock, metrics): (&Store, &Clock, &Metrics),
    ) -> (Self, Router) {
        let outbound = Outbound::new(config.outbound_allow.clone());
        auth.set_visitors(config.loomio.visitors);
        if let Some(app) = App::new(outbound, &config.loomio) {
            auth.ask_app(app);
        }
        let options = config.loomio.clone();
        let face = LoomioFace {
            auth: auth.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            options,
        };
        // A way out of their own: homeservers that are slow keep nobody from asking the application.
        let outbound = Outbound::new(config.outbound_allow.clone());
        let bots = Bots::new(outbound, clock.clone(), metrics.clone());
        let routes = loomio::routes(face.clone());
        let loomio = LoomioChannels::new(face, bots);
        let options = SpaceOptions { window: config.channels_window, ..SpaceOptions::default() };
        let (bus, store, clock, metrics) = (bus.clone(), store.clone(), clock.clone(), metrics.clone());
        (Self { loomio, all: Spaces::default(), options, bus, store, clock, metrics }, routes)
    }

    /// All spaces that are open, whoever opens them.
    pub(super) fn spaces(&self) -> &Spaces {
        &self.all
    }

    /// The dialects in the order in which they are asked whether a client is theirs.
    pub(super) fn dialects(&self) -> Vec<Arc<dyn Dialect>> {
        vec![Arc::new(self.loomio.clone())]
    }

    /// Opens the spaces.
    pub(super) async fn open(self) -> Result<OpenChannels, RunError> {
        let Self { loomio, all, options, bus, store, clock, metrics } = self;
        let failed =
            |why: &dyn std::fmt::Display| RunError::Ended(format!("the channels did not open: {why}"));
        let space = Space::open("loomio", Some(store), clock, metrics.clone(), options);
        let space = space.await.map_err(|error| failed(&error))?;
        all.add("loomio", &space);
        let feed = loomio.open(&space).map_err(|error| failed(&error))?;
        // The forum hears the same by itself: there every message asks who may hear it.
        let emitters = Emitters::new(vec![(space.clone(), loomio::is_room)], metrics);
        let emitted =
            bus.consume(&[Emitters::pattern()], Arc::new(emitters)).map_err(|error| failed(&error))?;
        Ok(OpenChannels { loomio, spaces: vec![space], _feeds: vec![feed, emitted] })
    }
}

impl OpenChannels {
    /// Ends the spaces. Sessions wait on disk.
    pub(super) async fn stop(&self) {
        futures_util::future::join_all(self.spaces.iter().map(Space::stop)).await;
    }
}
