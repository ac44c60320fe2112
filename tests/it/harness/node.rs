//! Real Yjs clients in Node, driven by a test: `tests/node/clients.mjs`.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use townhall::clock::Stopwatch;

/// Longest wait for a client to reach a state. Providers wait a second before they come back.
const PATIENCE: Duration = Duration::from_secs(15);

/// A Node process with any number of clients.
pub(crate) struct Node {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/node")
}

/// What the lock file names is there, or is fetched once.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // npm notes what it put there; a lock file that is younger names something else.
        let changed =
            |file: &str| std::fs::metadata(folder().join(file)).and_then(|data| data.modified()).ok();
        if changed("node_modules/.package-lock.json") >= changed("package-lock.json") {
            return;
        }
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        let status = std::process::Command::new(npm).arg("ci").current_dir(folder()).status();
        assert!(status.expect("npm is needed for the real clients").success(), "npm ci failed");
    });
}

impl Node {
    /// Starts Node with Yjs clients.
    pub(crate) async fn start() -> Self {
        Self::run("clients.mjs").await
    }

    /// Starts Node with this program of `tests/node`.
    pub(crate) async fn run(program: &str) -> Self {
        tokio::task::spawn_blocking(install).await.unwrap();
        let mut child = Command::new("node")
            .arg(program)
            .current_dir(folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node is needed for the real clients");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, stdin, stdout }
    }

    /// Gives a command; its answer.
    pub(crate) async fn tell(&mut self, command: Value) -> Value {
        self.stdin.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let answer = self.stdout.next_line().await.unwrap().expect("node ended");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer.get("error").is_none(), "{command}: {}", answer["error"]);
        answer["ok"].clone()
    }

    /// Gives one client a command without anything else.
    pub(crate) async fn order(&mut self, order: &str, client: &str) {
        self.tell(json!({ "do": order, "client": client })).await;
    }

    /// Writes at the end of a client's text.
    pub(crate) async fn insert(&mut self, client: &str, text: &str) {
        self.tell(json!({ "do": "insert", "client": client, "text": text })).await;
    }

    /// How a client is.
    pub(crate) async fn state(&mut self, client: &str) -> Value {
        self.tell(json!({ "do": "state", "client": client })).await
    }

    /// Waits until a client is as wanted.
    pub(crate) async fn until(&mut self, client: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, client, what, wanted).await
    }

    /// Waits so long until a client is as wanted.
    pub(crate) async fn until_within(
        &mut self,
        patience: Duration,
        client: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let watch = Stopwatch::start();
        loop {
            let state = self.state(client).await;
            if wanted(&state) {
                return state;
            }
            assert!(watch.elapsed() < patience, "{client} should have been {what}, but is {state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a Hocuspocus provider has synced and everything it wrote is saved.
    pub(crate) async fn settled(&mut self, client: &str) -> Value {
        self.until(client, "synced and saved", |state| state["isSynced"] == true && state["unsynced"] == 0)
            .await
    }
}
