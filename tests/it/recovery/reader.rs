//! A client in the real wire form: it does what the stock library does with `pid` and `offset`, and loses its line now
//! and then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::ledger::{Heard, Life, number_of};
use super::{SLEEP, Scene};
use crate::harness::dice::Dice;

type Line = WebSocketStream<TcpStream>;

/// A client that has not come back for this long tries again.
const PATIENCE: Duration = Duration::from_secs(8);

/// One client.
pub(super) struct Reader {
    scene: Arc<Scene>,
    dice: Dice,
    slept: bool,
    /// It falls asleep soon, once.
    sleeps: bool,
    here: Option<oneshot::Sender<()>>,
    pid: Option<String>,
    sid: String,
    offset: Option<String>,
    life: Life,
    /// A line that was left open when another one was opened.
    old: Option<Line>,
}

/// Why a line is left.
enum Left {
    /// It broke, the server closed it, or the client let it go.
    Lost,
    /// The client wants another one, and the server does not know that this one is dead.
    Abandoned(Box<Line>),
    /// It is time to sleep.
    Asleep,
    /// Everything was heard.
    Over,
}

impl Reader {
    /// A client, and what tells that it came in for the first time.
    pub(super) fn new(
        client: usize,
        scene: &Arc<Scene>,
        sleeps: bool,
        dice: Dice,
    ) -> (Self, oneshot::Receiver<()>) {
        let (here, wait) = oneshot::channel();
        let reader = Self {
            scene: scene.clone(),
            dice,
            slept: false,
            sleeps,
            here: Some(here),
            pid: None,
            sid: String::new(),
            offset: None,
            life: Life::new(client),
            old: None,
        };
        (reader, wait)
    }

    /// Listens until the last word, coming back whenever the line is lost.
    pub(super) async fn attend(mut self) -> Life {
        loop {
            let Ok(Some(line)) = timeout(PATIENCE, self.come_in()).await else {
                tokio::time::sleep(self.dice.between(20, 150)).await;
                continue;
            };
            if let Some(here) = self.here.take() {
                here.send(()).ok();
            }
            if std::mem::take(&mut self.slept) {
                self.scene.woken.fetch_add(1, Ordering::Relaxed);
            }
            match self.listen(line).await {
                Left::Over => return self.life,
                Left::Abandoned(line) => self.old = Some(*line),
                Left::Lost => self.old = None,
                Left::Asleep => {
                    tokio::time::sleep(SLEEP).await;
                    self.slept = true;
                }
            }
        }
    }

    /// Connects and enters the namespace, with what is known of the last time.
    async fn come_in(&mut self) -> Option<Line> {
        let stream = TcpStream::connect(self.scene.address).await.ok()?;
        let token = self.life.client;
        let url = format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket&channel_token=t{token}",
            self.scene.address
        );
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let (mut line, _) =
            tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await.ok()?;
        let open = text(&mut line).await?;
        assert!(open.starts_with("0{"), "{open}");
        let hello = match (&self.pid, &self.offset) {
            (Some(pid), Some(offset)) => format!("40{}", json!({ "pid": pid, "offset": offset })),
            (Some(pid), None) => format!("40{}", json!({ "pid": pid })),
            _ => "40".to_owned(),
        };
        line.send(Message::text(hello)).await.ok()?;
        let connected = text(&mut line).await?;
        let connected = connected.strip_prefix("40").unwrap_or_else(|| panic!("{connected}"));
        let connected: Value = serde_json::from_str(connected).unwrap();
        let (sid, pid) = (connected["sid"].as_str().unwrap(), connected["pid"].as_str());
        let recovered = pid.is_some() && pid == self.pid.as_deref();
        if recovered {
            assert_eq!(sid, self.sid, "a session that is taken up keeps its public id");
            self.life.recovered += 1;
        } else if self.pid.is_some() {
            self.life.parts.push(Vec::new());
        }
        self.pid = pid.map(str::to_owned);
        sid.clone_into(&mut self.sid);
        Some(line)
    }

    async fn listen(&mut self, mut line: Line) -> Left {
        let stay = self.dice.between(1_000, if self.sleeps { 3_000 } else { 15_000 });
        let until = Instant::now() + stay;
        loop {
            let said = tokio::select! {
                said = text(&mut line) => said,
                () = tokio::time::sleep_until(until.into()) => return self.leave(line),
            };
            let Some(said) = said else { return Left::Lost };
            if said == "2" {
                if line.send(Message::text("3")).await.is_err() {
                    return Left::Lost;
                }
                continue;
            }
            if self.hear(&said) {
                return Left::Over;
            }
        }
    }

    /// Leaves a line that is open.
    fn leave(&mut self, line: Line) -> Left {
        match (std::mem::take(&mut self.sleeps), self.dice.below(2)) {
            (true, _) => Left::Asleep,
            (false, 0) => Left::Lost,
            _ => Left::Abandoned(Box::new(line)),
        }
    }

    /// Takes an event; whether it is the last one.
    fn hear(&mut self, said: &str) -> bool {
        let event = said.strip_prefix("42[\"records\",").unwrap_or_else(|| panic!("{said}"));
        let part = |key: &str| {
            let (_, rest) = event.split_once(&format!("\"{key}\":\"")).unwrap();
            rest.split_once('"').unwrap().0
        };
        let offset = event.strip_suffix("\"]").and_then(|event| event.rsplit_once(",\"")).unwrap().1;
        self.offset = Some(offset.to_owned());
        let heard = Heard { seq: number_of(offset), room: part("room").into(), id: part("id").into() };
        let last = &*heard.id == "end";
        self.life.parts.last_mut().unwrap().push(heard);
        last
    }
}

/// The next text; `None` when the line is lost.
async fn text(line: &mut Line) -> Option<String> {
    loop {
        match line.next().await? {
            Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            _ => return None,
        }
    }
}
