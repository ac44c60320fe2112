//! The reference program of the public protocol suites: our Engine.IO and Socket.IO layers, and nothing else.
//!
//! `cargo run --example socketio_reference -- --listen 127.0.0.1:3000` serves Socket.IO at `/socket.io/`, with the
//! suites' short times and any origin. `--engine-only` sends every Engine.IO message back instead, there and at
//! `/engine.io/`. `--websocket-echo` adds `/echo`, plain WebSockets on the library that the product uses.

#![allow(clippy::print_stdout, reason = "it says where it listens")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use townhall::clock::Clock;
use townhall::config::limits::MIB;
use townhall::faces::door::Door;
use townhall::faces::sio::{
    Accepted, Arguments, Dialect, Hello, Later, Origins, Peer, Reason, Refused, Said, Sio, SioOptions,
    websocket_echo,
};
use townhall::rooms::space::{OldRooms, Room, Space, SpaceOptions};
use townhall::telemetry::Metrics;

/// The namespaces of the suites.
const NAMESPACES: [&str; 2] = ["/", "/custom"];
/// What follows the answer to CONNECT follows this much later: the suites begin to listen for it only once they have
/// read the answer, and do not hear what comes in the same packet.
const AFTERWARDS: Duration = Duration::from_millis(15);
/// The largest message that the WebSocket suites send back and forth.
const ECHO_MAX_BYTES: usize = 64 * MIB;

#[derive(Parser)]
struct Options {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Send every Engine.IO message back, without Socket.IO
    #[arg(long)]
    engine_only: bool,
    /// Also echo plain WebSockets at /echo
    #[arg(long)]
    websocket_echo: bool,
}

/// Sends back what it hears.
struct Echo(Space);

impl Dialect for Echo {
    fn connect<'a>(&'a self, hello: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>> {
        Box::pin(async move {
            NAMESPACES.contains(&hello.namespace).then(|| {
                Ok(Accepted {
                    space: self.0.clone(),
                    rooms: Vec::new(),
                    person: None,
                    known: true,
                    recover: false,
                    old_rooms: OldRooms::Dropped,
                    state: Arc::new(hello.auth.to_owned()),
                })
            })
        })
    }

    fn joined<'a>(&'a self, peer: &'a Peer, _recovered: bool, _: Vec<Room>) -> Later<'a, ()> {
        Box::pin(async move {
            let (peer, auth) = (peer.clone(), peer.state::<String>().cloned().unwrap_or_default());
            tokio::spawn(async move {
                tokio::time::sleep(AFTERWARDS).await;
                peer.emit("auth", &Arguments { text: auth.into(), attachments: Vec::new() });
            });
        })
    }

    fn event<'a>(&'a self, peer: &'a Peer, said: Said) -> Later<'a, ()> {
        Box::pin(async move {
            match (said.name.as_str(), said.ack) {
                ("message", _) => peer.emit("message-back", &said.arguments),
                ("message-with-ack", Some(ack)) => ack.send(&said.arguments),
                _ => {}
            }
        })
    }

    fn gone<'a>(&'a self, _peer: &'a Peer, _reason: Reason) -> Later<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Answers connections: the transport behaves like this.
pub(crate) async fn serve(
    listener: TcpListener,
    transport: SioOptions,
    websocket_echo_too: bool,
    until: CancellationToken,
) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let space =
        Space::open("reference", None, Clock::real(), metrics.clone(), SpaceOptions::default()).await?;
    let engine_only = transport.echo;
    let sio = Sio::new(vec![Arc::new(Echo(space))], transport, &metrics);
    let mut routes: Router = sio.routes();
    if engine_only {
        routes = routes.merge(sio.routes_at("/engine.io"));
    }
    if websocket_echo_too {
        routes = routes.merge(websocket_echo("/echo", ECHO_MAX_BYTES));
    }
    Door::new(routes, 10_000, metrics).accept(listener, until).await;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let transport = SioOptions {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_deadline: Duration::from_secs(1),
        origins: Origins::Any,
        paced: false,
        echo: options.engine_only,
    };
    let listener = TcpListener::bind(options.listen).await.context("the address cannot be listened on")?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(listener, transport, options.websocket_echo, CancellationToken::new()).await
}
