//! The real program `townhall` as a child, to be killed and started again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use townhall::auth::Role;

use super::{Client, PROGRAM, admin_token, mint};

/// Ready within this time, or the test fails: generous, since many tests share the machine.
const READY: Duration = Duration::from_secs(30);

/// `townhall serve` on a data folder and a free port. Dropping it kills it.
pub(crate) struct OfficeProcess {
    child: Child,
    address: SocketAddr,
    link: String,
    data: PathBuf,
    log: PathBuf,
}

impl OfficeProcess {
    /// Starts and waits until it says that it is ready.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[], &[])
    }

    /// The same with more arguments and environment. The port is a free one unless they say `--listen`.
    pub(crate) fn start_with(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = data.with_extension("log");
        let mut command = command(data, arguments);
        command.envs(environment.iter().copied());
        command.stdout(Stdio::piped()).stderr(append(&log));
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().unwrap();
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the program never waits for us.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                tell.send(line).ok();
            }
        });
        let next =
            || lines.recv_timeout(READY).unwrap_or_else(|_| panic!("not ready; see {}", log.display()));
        let (ready, link) = (next(), next());
        let address = ready.rsplit("http://").next().unwrap().trim_end_matches('/').parse().expect(&ready);
        let link = link.rsplit("http://").next().map(|rest| format!("http://{rest}")).unwrap();
        Self { child, address, link, data: data.to_path_buf(), log }
    }

    /// Starts where it is expected to fail: how it ended, and what it said on stderr.
    pub(crate) fn fail(
        data: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (ExitStatus, String) {
        let mut command = command(data, arguments);
        let output = command.envs(environment.iter().copied()).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts, and kills it after this long whether it was ready or not.
    pub(crate) fn start_and_kill_after(data: &Path, after: Duration) {
        let mut command = command(data, &[]);
        let log = data.with_extension("log");
        let mut child =
            command.stdout(Stdio::null()).stderr(append(&log)).spawn().expect("the program starts");
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Resident memory in KiB; 0 where the system does not say.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The one-time link it printed.
    pub(crate) fn link(&self) -> &str {
        &self.link
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `ws://127.0.0.1:PORT` and this path.
    pub(crate) fn ws(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// What it logged so far, in this run and those before on the same folder.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn admin(&self) -> Client {
        self.client().with_token(&admin_token(&self.data))
    }

    pub(crate) async fn mint(&self, role: Role) -> String {
        mint(&self.admin(), role).await.0
    }

    /// SIGKILL: no goodbye, no flush.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits until it has.
    #[cfg(unix)]
    pub(crate) fn stop(mut self) -> ExitStatus {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for OfficeProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--data"]).arg(data).stdin(Stdio::null());
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(arguments);
    // What the tests' own environment says is not meant for the program.
    for name in ["TOWNHALL_DATA", "TOWNHALL_LISTEN", "TOWNHALL_SHARE", "TOWNHALL_CONFIG", "TOWNHALL_LOG"] {
        command.env_remove(name);
    }
    command
}

fn append(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}
