//! The real program on a folder of its own, as a child process.

use std::io::{BufRead, BufReader};
use std::path::Path;
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
        Self::start_with(&[]).await
    }

    /// The same with more on its command line.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, port, ready_after) = Self::spawn(folder.path(), more).await;
        let token = std::fs::read_to_string(folder.path().join("admin.token")).unwrap().trim().to_owned();
        Self { child, folder, port, token, ready_after }
    }

    async fn spawn(folder: &std::path::Path, more: &[&str]) -> (Child, u16, Duration) {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_townhall"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .args(more)
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
        let (child, port, _) = Self::spawn(self.folder.path(), &[]).await;
        self.child = child;
        self.port = port;
    }

    /// The token with which the administrator's page comes to the channels, known to the office from now on.
    pub(crate) async fn channel_token(&self) -> String {
        let (url, bearer) = (format!("http://127.0.0.1:{}/api/v1/boot/site", self.port), self.token.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let mut answer =
                ureq::get(url).header("authorization", format!("Bearer {bearer}")).call().unwrap();
            answer.body_mut().read_json::<serde_json::Value>().unwrap()
        });
        asked.await.unwrap()["channel_token"].as_str().unwrap().to_owned()
    }

    /// A figure as the office itself counts it.
    pub(crate) async fn counted(&self, name: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let asked = tokio::task::spawn_blocking(move || {
            ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
        });
        let text = asked.await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

/// A program whose processor time and memory are read.
pub(crate) trait Measured {
    /// Its process.
    fn id(&self) -> u32;

    /// Resident memory in KiB; 0 where it cannot be read.
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Processor time used so far; zero where it cannot be read.
    fn cpu(&self) -> Duration {
        spent(Path::new(&format!("/proc/{}", self.id())))
    }

    /// The same in nanoseconds, of the threads that are there now: for short times. Ticks where nobody counts closer.
    fn cpu_closely(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).into_iter().flatten().flatten();
        let counts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
        let spent = counts.filter_map(|counts| counts.split_whitespace().next()?.parse().ok());
        let spent: Duration = spent.map(Duration::from_nanos).sum();
        if spent.is_zero() { self.cpu() } else { spent }
    }

    /// Processor time that one of its threads used so far; zero where it cannot be read.
    fn cpu_of(&self, thread: &str) -> Duration {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.id())) else { return Duration::ZERO };
        let named =
            |task: &Path| std::fs::read_to_string(task.join("comm")).is_ok_and(|n| n.trim() == thread);
        tasks.flatten().map(|task| task.path()).filter(|task| named(task)).map(|task| spent(&task)).sum()
    }
}

/// What a process or a thread spent, by its folder, in ticks of ten milliseconds.
fn spent(folder: &Path) -> Duration {
    let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

impl Measured for Office {
    fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
