//! The real program on a folder of its own, as a child process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running office; killed when dropped.
pub(crate) struct Office {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) ready_after: Duration,
}

impl Office {
    /// Starts on an empty folder.
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(folder: tempfile::TempDir) -> Self {
        let (child, port, ready_after) = Self::spawn(folder.path()).await;
        let token = std::fs::read_to_string(folder.path().join("admin.token")).unwrap().trim().to_owned();
        Self { child, folder, port, token, ready_after }
    }

    async fn spawn(folder: &std::path::Path) -> (Child, u16, Duration) {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_townhall"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let (port, out) = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(out).lines();
            let port = lines
                .by_ref()
                .map_while(Result::ok)
                .find_map(|line| {
                    let url = line.strip_prefix("Townhall is ready: ")?.to_owned();
                    url.trim_end_matches('/').rsplit(':').next()?.parse().ok()
                })
                .expect("the program says where it is");
            (port, lines)
        })
        .await
        .unwrap();
        // The pipe stays read, so that the program never waits for us.
        std::thread::spawn(move || out.for_each(drop));
        (child, port, start.elapsed())
    }

    /// Kills the program and starts it again on the same folder.
    pub(crate) async fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let (child, port, _) = Self::spawn(self.folder.path()).await;
        self.child = child;
        self.port = port;
    }

    /// Resident memory in KiB; 0 where it cannot be read.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Processor time used so far; zero where it cannot be read.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or("");
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
