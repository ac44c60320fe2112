//! A real Redis server as a child, on a free port, in a folder of its own: to be killed, frozen and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

/// Ready within this time, or the test fails.
const READY: Duration = Duration::from_secs(20);

/// The program, if it is installed. In CI it has to be.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("redis-server")).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "redis-server is not installed, and this is CI");
        eprintln!("SKIPPED: redis-server is not installed (Debian package redis-server)");
    }
    found
}

/// A running server. Dropping it kills it.
pub(crate) struct RedisServer {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    password: Option<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Nothing, and where the program is installed, a new server: what has to hold without Redis and with it.
    pub(crate) async fn without_and_with() -> Vec<Option<Self>> {
        let mut both = vec![None];
        both.extend(Self::start(None).await.map(Some));
        both
    }

    /// A new, empty server that keeps nothing on disk; `None` where the program is missing.
    pub(crate) async fn start(password: Option<&str>) -> Option<Self> {
        let program = program()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { program, folder, port, password: password.map(str::to_owned), child: None };
        server.start_again().await;
        Some(server)
    }

    /// A server with these lines of configuration and these arguments: a sentinel, a node of a cluster.
    pub(crate) async fn start_as(lines: &str, arguments: &[&str]) -> Option<Self> {
        let program = program()?;
        // The bus of a cluster has a port of its own, ten thousand above.
        let port = loop {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if port < 55_000 {
                break port;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("redis.conf");
        let dir = folder.path().display();
        let config = format!("port {port}\nbind 127.0.0.1\nsave \"\"\ndir {dir}\n{lines}");
        let config = match arguments.contains(&"--sentinel") {
            true => config.replace("save \"\"\n", ""),
            false => config,
        };
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(&program);
        command.arg(&file).args(arguments).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let child = Some(command.spawn().unwrap());
        let server = Self { program, folder, port, password: None, child };
        server.ready().await;
        Some(server)
    }

    async fn ready(&self) {
        let ready = async {
            while self.try_connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(READY, ready).await.expect("redis-server answers");
    }

    /// Starts it again, empty, on the same port; returns once it answers.
    pub(crate) async fn start_again(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no"]).arg("--dir").arg(self.folder.path());
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        self.ready().await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it from doing anything, without closing anything; or lets it go on.
    #[cfg(unix)]
    pub(crate) fn freeze(&self, on: bool) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let signal = if on { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Where it is, with its password.
    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(password) => {
                let password = password.replace('%', "%25").replace('/', "%2F");
                format!("redis://:{password}@127.0.0.1:{}/0", self.port)
            }
            None => format!("redis://127.0.0.1:{}/0", self.port),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A folder that lives as long as the server.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let mut line = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut line).await?;
        Ok(line)
    }

    /// A connection of somebody else.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        self.try_connect().await.unwrap()
    }

    /// Publishes as another program does; how many heard it.
    pub(crate) async fn publish(&self, channel: &str, body: &[u8]) -> i64 {
        let mut line = self.connect().await;
        redis::cmd("PUBLISH").arg(channel).arg(body).query_async(&mut line).await.unwrap()
    }

    /// Waits until so many patterns are listened to: whoever wants to hear something tells the server behind our back.
    pub(crate) async fn hears_patterns(&self, count: i64) {
        let mut line = self.connect().await;
        let heard = async {
            while redis::cmd("PUBSUB").arg("NUMPAT").query_async::<i64>(&mut line).await.unwrap() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(READY, heard).await.expect("the server is told who listens");
    }

    /// Hears what is published on a channel, as another program does.
    pub(crate) async fn listen(&self, channel: &str) -> redis::aio::PubSub {
        let mut ear = redis::Client::open(self.url()).unwrap().get_async_pubsub().await.unwrap();
        ear.subscribe(channel).await.unwrap();
        ear
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        #[cfg(unix)]
        if self.child.is_some() {
            self.freeze(false);
        }
        self.kill();
    }
}
