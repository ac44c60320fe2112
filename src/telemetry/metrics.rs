//! The figures an operator reads at `/metrics`.
//!
//! One struct, shared by handle; a part that counts gets the handle and touches its own fields only.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::tally::Tally;

/// Why something was counted, as a short fixed word; never text from a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// The word.
    pub reason: &'static str,
}

/// All figures; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Figures>);

impl std::ops::Deref for Metrics {
    type Target = Figures;
    fn deref(&self) -> &Figures {
        &self.0
    }
}

/// The figures themselves.
#[derive(Debug)]
pub struct Figures {
    /// Open connections.
    pub connections: Gauge,
    /// Open document rooms.
    pub rooms: Gauge,
    /// Peers in all rooms.
    pub peers: Gauge,
    /// Messages received from clients.
    pub messages_in: Counter,
    /// Messages sent to clients.
    pub messages_out: Counter,
    /// Edits that changed something and are on disk.
    pub edits_saved: Counter,
    /// Refused input, by reason.
    pub refused: Tally,
    /// Time of one commit, in seconds.
    pub commit_seconds: Histogram,
    /// Rows waiting for the writer.
    pub writer_queue: Gauge,
    /// Bytes waiting in outboxes.
    pub outbox_bytes: Gauge,
    /// Readers that fell behind and were resynced.
    pub resyncs: Counter,
    /// Snapshots, by result.
    pub snapshots: Family<Reason, Counter>,
    /// Drafts written back, by result.
    pub drafts: Family<Reason, Counter>,
    /// Messages to bots, by what became of them.
    pub bots: Family<Reason, Counter>,
    /// Whether the store takes writes (1) or not (0).
    pub store_writable: Gauge,
    /// Messages said in spaces: `kept`, `passing`, `repeated`, or refused, with the reason.
    pub said: Tally,
    /// Messages of spaces put into members' outboxes.
    pub delivered: Counter,
    /// Who asked to take a session up again, by result.
    pub recoveries: Tally,
    /// Everybody who came into a space, taken up again or new.
    pub arrivals: Counter,
    /// Members of all spaces.
    pub members: Gauge,
    /// Bytes of kept messages in all spaces.
    pub ring_bytes: Gauge,
    /// Whether the bus reaches whom it should (1) or not (0).
    pub bus_up: Gauge,
    /// Since when that is so, in seconds since 1970.
    pub bus_since_seconds: Gauge,
    /// Messages heard from the central server.
    pub bus_messages_in: Counter,
    /// Messages published at the central server.
    pub bus_messages_out: Counter,
    /// Messages waiting for the central server.
    pub bus_waiting: Gauge,
    /// Memory of this process, in bytes; set when the figures are read.
    pub memory_bytes: Gauge,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register_spaces(registry: &mut Registry, figures: &Figures) {
    registry.register("said", "Messages said in spaces by kind", figures.said.family());
    registry.register("delivered", "Messages put into members' outboxes", figures.delivered.clone());
    registry.register("recoveries", "Sessions asked for again by result", figures.recoveries.family());
    registry.register("arrivals", "Members who came into spaces", figures.arrivals.clone());
    registry.register("members", "Members of all spaces", figures.members.clone());
    registry.register("ring_bytes", "Bytes of kept messages", figures.ring_bytes.clone());
}

impl Metrics {
    /// Makes all figures, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("townhall");
        let mut figures = Figures {
            connections: Gauge::default(),
            rooms: Gauge::default(),
            peers: Gauge::default(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            edits_saved: Counter::default(),
            refused: Tally::default(),
            commit_seconds: Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0]),
            writer_queue: Gauge::default(),
            outbox_bytes: Gauge::default(),
            resyncs: Counter::default(),
            snapshots: Family::default(),
            drafts: Family::default(),
            bots: Family::default(),
            store_writable: Gauge::default(),
            said: Tally::default(),
            delivered: Counter::default(),
            recoveries: Tally::default(),
            arrivals: Counter::default(),
            members: Gauge::default(),
            ring_bytes: Gauge::default(),
            bus_up: Gauge::default(),
            bus_since_seconds: Gauge::default(),
            bus_messages_in: Counter::default(),
            bus_messages_out: Counter::default(),
            bus_waiting: Gauge::default(),
            memory_bytes: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("connections", "Open connections", figures.connections.clone());
        registry.register("rooms", "Open document rooms", figures.rooms.clone());
        registry.register("peers", "Peers in all rooms", figures.peers.clone());
        registry.register("messages_in", "Messages received from clients", figures.messages_in.clone());
        registry.register("messages_out", "Messages sent to clients", figures.messages_out.clone());
        registry.register(
            "edits_saved",
            "Edits that changed something and are on disk",
            figures.edits_saved.clone(),
        );
        registry.register("refused", "Refused input by reason", figures.refused.family());
        registry.register("commit_seconds", "Time of one commit", figures.commit_seconds.clone());
        registry.register("writer_queue", "Rows waiting for the writer", figures.writer_queue.clone());
        registry.register("outbox_bytes", "Bytes waiting in outboxes", figures.outbox_bytes.clone());
        registry.register("resyncs", "Readers that fell behind and were resynced", figures.resyncs.clone());
        registry.register("snapshots", "Snapshots by result", figures.snapshots.clone());
        registry.register("drafts", "Drafts written back by result", figures.drafts.clone());
        registry.register("bots", "Messages to bots by what became of them", figures.bots.clone());
        registry.register("store_writable", "Whether the store takes writes", figures.store_writable.clone());
        registry.register("memory_bytes", "Resident memory of the process", figures.memory_bytes.clone());
        register_spaces(&mut registry, &figures);
        register_bus(&mut registry, &figures);
        figures.registry = registry;
        Self(Arc::new(figures))
    }

    /// Counts one piece of refused input.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.count(reason);
    }

    /// The figures in Prometheus' text form.
    ///
    /// # Errors
    /// When the text cannot be written, which a growing string does not do.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn register_bus(registry: &mut Registry, figures: &Figures) {
    registry.register("bus_up", "Whether the bus reaches whom it should", figures.bus_up.clone());
    let since = figures.bus_since_seconds.clone();
    registry.register("bus_since_seconds", "Since when that is so, as Unix time", since);
    registry.register("bus_messages_in", "Messages from the central server", figures.bus_messages_in.clone());
    registry.register(
        "bus_messages_out",
        "Messages published at the central server",
        figures.bus_messages_out.clone(),
    );
    registry.register("bus_waiting", "Messages waiting for the central server", figures.bus_waiting.clone());
}
