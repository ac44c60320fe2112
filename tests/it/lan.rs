//! The office is found on the network by name and by address, follows a conflict of names, and is gone when it stops.
//!
//! Two hosts are two network namespaces with a cable between them; where the system does not allow these, the tests say
//! so on standard error and pass.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, IfKind, ServiceDaemon, ServiceEvent};
use townhall::clock::Stopwatch;
use townhall::lan::{Announce, AnnounceOptions, OFFICE_TYPE};

/// Announced and found within this time, as the product promises.
const FOUND_WITHIN: Duration = Duration::from_secs(2);
/// Anything that is not a promise about time, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the part of the test that runs on another host is told to do.
const ROLE: &str = "TOWNHALL_TEST_LAN_ROLE";

#[test]
fn a_shared_office_is_found_opened_and_gone() {
    let Some(network) = Network::new("office") else { return };
    let mut colleague = network.host('b').play("browse", &[]);
    colleague.hear("browsing", PATIENCE);

    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let mut clerk = network.host('a').run(
        env!("CARGO_BIN_EXE_townhall"),
        &["serve", "--share", "--data", folder, "--listen", "127.0.0.1:3001"],
        &[],
    );
    clerk.hear("Townhall is ready", PATIENCE);
    let since_ready = Stopwatch::start();
    let found = colleague.hear("found", PATIENCE);
    assert!(since_ready.elapsed() < FOUND_WITHIN, "found only after {:?}", since_ready.elapsed());
    let host = field(&found, "host").to_owned();
    let address = field(&found, "address").to_owned();
    assert_eq!(address, "10.77.1.1:3001");
    assert!(host.ends_with(".local") && host.is_ascii(), "{host}");
    assert_eq!(field(&found, "path"), "/");
    assert_eq!(field(&found, "proto"), "http");
    assert_eq!(field(&found, "v"), env!("CARGO_PKG_VERSION"));
    assert!(!field(&found, "id").is_empty());

    let by_address = network.host('b').play("open", &[("URL_HOST", &address), ("AT", &address)]);
    assert!(by_address.wait_for("answered 200").contains("\"status\":\"ok\""));
    let by_name = network
        .host('b')
        .play("open", &[("URL_HOST", &format!("{host}:3001")), ("NAME", &host), ("PORT", "3001")]);
    assert!(by_name.wait_for("answered 200").contains("\"status\":\"ok\""));

    clerk.terminate();
    colleague.hear("gone", Duration::from_secs(6));
    assert_eq!(clerk.exit_code(), Some(0), "a clean stop");
}

#[test]
fn an_office_that_fell_is_shared_again_once_its_network_is_back() {
    let Some(network) = Network::new("fell") else { return };
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let host = network.host('a');
    let start = |share: &[&str]| {
        let args = [&["serve", "--data", folder, "--listen", "127.0.0.1:3001"], share].concat();
        let mut office = host.run(env!("CARGO_BIN_EXE_townhall"), &args, &[]);
        office.hear("Townhall is ready", PATIENCE);
        office
    };
    let open = || network.host('b').play("open", &[("URL_HOST", "10.77.1.1:3001"), ("AT", "10.77.1.1:3001")]);
    let mut office = start(&["--share"]);
    open().wait_for("answered 200");
    std::thread::sleep(Duration::from_secs(1));
    office.child.kill().unwrap();
    office.child.wait().unwrap();

    // The computer starts, and has no address yet.
    ip(&["-n", &host.namespace, "addr", "del", "10.77.1.1/24", "dev", "lan0"]).unwrap();
    let office = start(&[]);
    std::thread::sleep(Duration::from_secs(3));
    ip(&["-n", &host.namespace, "addr", "add", "10.77.1.1/24", "dev", "lan0"]).unwrap();
    open().wait_for("answered 200");
    office.terminate();
}

#[test]
fn two_offices_of_one_name_are_told_apart() {
    let Some(network) = Network::new("names") else { return };
    let mut first = network.host('a').play("announce", &[("ID", "first")]);
    assert!(first.hear("host", PATIENCE).contains("mairie.local"));
    // It stands before the other one comes.
    network.host('b').play("browse", &[]).hear("found", PATIENCE);
    let mut second = network.host('b').play("announce", &[("ID", "second")]);
    second.hear("host=mairie.local", PATIENCE);
    second.hear("host=mairie-2.local", PATIENCE);
    // The first one keeps its name, says goodbye when it ends, and both are heard from a third program.
    let mut listener = network.host('a').play("browse", &[]);
    let ids = [listener.hear("found", PATIENCE), listener.hear("found", PATIENCE)];
    assert!(ids.iter().any(|line| field(line, "id") == "second" && field(line, "host") == "mairie-2.local"));
    assert!(ids.iter().any(|line| field(line, "id") == "first" && field(line, "host") == "mairie.local"));
    first.stop();
    listener.hear("gone", Duration::from_secs(6));
    second.stop();
}

#[test]
fn an_office_is_found_again_when_the_cable_is_back() {
    let Some(network) = Network::new("cable") else { return };
    let mut office = network.host('a').play("announce", &[("ID", "one")]);
    office.hear("host", PATIENCE);
    network.host('a').unplug();
    std::thread::sleep(Duration::from_secs(5));
    let mut colleague = network.host('b').play("browse", &[]);
    colleague.hear("browsing", PATIENCE);
    network.host('a').plug();
    colleague.hear("found", PATIENCE);
    office.stop();
}

/// The part that runs on another host: this very program, started there with one thing to do.
#[test]
#[ignore = "started by the other tests of this file, on another host"]
fn on_another_host() {
    let told = |name: &str| std::env::var(format!("TOWNHALL_TEST_LAN_{name}")).unwrap_or_default();
    match std::env::var(ROLE).unwrap_or_default().as_str() {
        "browse" => browse(),
        "announce" => announce(told("ID")),
        "open" => {
            let host = told("URL_HOST");
            let at = match told("AT").parse() {
                Ok(at) => at,
                Err(_) => SocketAddr::new(resolve(&told("NAME")), told("PORT").parse().unwrap()),
            };
            say(&open(at, &host));
        }
        role => panic!("{role:?} is nothing to do"),
    }
}

fn browse() {
    let daemon = ServiceDaemon::new().unwrap();
    daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6, IfKind::IPv6]).unwrap();
    let events = daemon.browse(OFFICE_TYPE).unwrap();
    say("browsing");
    while let Ok(event) = events.recv_timeout(Duration::from_secs(60)) {
        match event {
            ServiceEvent::ServiceResolved(office) => {
                let Some(ip) = office.get_addresses_v4().into_iter().next() else { continue };
                let text = |key| office.get_property_val_str(key).unwrap_or_default().to_owned();
                say(&format!(
                    "found host={} address={ip}:{} id={} v={} path={} proto={}",
                    office.get_hostname().trim_end_matches('.'),
                    office.get_port(),
                    text("id"),
                    text("v"),
                    text("path"),
                    text("proto"),
                ));
            }
            ServiceEvent::ServiceRemoved(_, name) => say(&format!("gone {name}")),
            _ => {}
        }
    }
}

fn announce(id: String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = AnnounceOptions {
            office_name: "Mairie".to_owned(),
            host_label: "mairie".to_owned(),
            port: 3001,
            id,
            version: "0".to_owned(),
        };
        let announce = Announce::start(&options).unwrap();
        let mut host = announce.host_name();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            // Ends with the parent, or when it says so.
            let _ = std::io::stdin().read(&mut [0]);
            let _ = stop.send(());
        });
        let follow = async {
            loop {
                say(&format!("host={}", *host.borrow_and_update()));
                host.changed().await.unwrap();
            }
        };
        tokio::select! {
            () = follow => {}
            _ = stopped => {}
        }
        let since = Stopwatch::start();
        announce.stop().await;
        assert!(since.elapsed() < Duration::from_millis(1_500), "the goodbye took {:?}", since.elapsed());
    });
}

fn resolve(name: &str) -> IpAddr {
    let daemon = ServiceDaemon::new().unwrap();
    daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6]).unwrap();
    let events = daemon.resolve_hostname(&format!("{name}."), Some(10_000)).unwrap();
    while let Ok(event) = events.recv_timeout(PATIENCE) {
        if let HostnameResolutionEvent::AddressesFound(_, addresses) = event
            && let Some(ip) = addresses.iter().map(|ip| ip.to_ip_addr()).find(IpAddr::is_ipv4)
        {
            return ip;
        }
    }
    panic!("nobody on the network answers to {name}");
}

/// What a browser sends when somebody types the address, and what it gets.
fn open(at: SocketAddr, host: &str) -> String {
    // It may just be opening.
    let since = Stopwatch::start();
    let mut stream = loop {
        match TcpStream::connect_timeout(&at, Duration::from_secs(5)) {
            Ok(stream) => break stream,
            Err(error) => assert!(since.elapsed() < PATIENCE / 2, "{at}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().replace(['\r', '\n'], " ");
    format!("answered {status} {body}")
}

fn say(line: &str) {
    println!("lan: {line}");
    std::io::stdout().flush().unwrap();
}

/// The value of `key=value` in a line.
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let start = format!("{key}=");
    line.split_whitespace().find_map(|word| word.strip_prefix(start.as_str())).unwrap_or_default()
}

// --- two hosts with a cable between them -----------------------------------------------------------------

struct Network {
    name: String,
}

struct Host {
    namespace: String,
}

impl Network {
    fn new(name: &str) -> Option<Self> {
        let network = Self { name: format!("townhall-{name}-{}", std::process::id()) };
        let (a, b) = (network.host('a').namespace, network.host('b').namespace);
        let made = ip(&["netns", "add", &a]).and_then(|()| ip(&["netns", "add", &b])).and_then(|()| {
            ip(&["-n", &a, "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", &b])
        });
        if let Err(why) = made {
            // Straight to standard error: a test that passes would otherwise say it to nobody.
            let _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED lan::{name}: two hosts need network namespaces (Linux, root, iproute2): {why}\n"
            );
            return None;
        }
        for (namespace, own) in [(&a, "10.77.1.1/24"), (&b, "10.77.1.2/24")] {
            for args in [
                vec!["addr", "add", own, "dev", "lan0"],
                vec!["link", "set", "lo", "up"],
                vec!["link", "set", "lan0", "up"],
            ] {
                ip(&[&["-n", namespace.as_str()], args.as_slice()].concat()).unwrap();
            }
        }
        network.settle();
        Some(network)
    }

    /// Waits until the adapters have their addresses for good: an IPv6 address is only tried for its first seconds, and
    /// what is said meanwhile is lost. No office is shared in the second in which its cable was put in.
    fn settle(&self) {
        let since = Stopwatch::start();
        for which in ['a', 'b'] {
            let namespace = self.host(which).namespace;
            let shown = |filter: &[&str]| {
                let args =
                    [&["-n", namespace.as_str(), "-6", "addr", "show", "dev", "lan0"], filter].concat();
                Command::new("ip").args(args).output().is_ok_and(|output| !output.stdout.is_empty())
            };
            while since.elapsed() < Duration::from_secs(6) && (!shown(&[]) || shown(&["tentative"])) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    fn host(&self, which: char) -> Host {
        Host { namespace: format!("{}-{which}", self.name) }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for which in ['a', 'b'] {
            let _ = ip(&["netns", "del", &self.host(which).namespace]);
        }
    }
}

impl Host {
    /// Runs a part of this file on the host.
    fn play(&self, role: &str, told: &[(&str, &str)]) -> Program {
        let told: Vec<(String, String)> = told
            .iter()
            .map(|(name, value)| (format!("TOWNHALL_TEST_LAN_{name}"), (*value).to_owned()))
            .chain([(ROLE.to_owned(), role.to_owned())])
            .collect();
        let this = std::env::current_exe().unwrap();
        self.run(
            this.to_str().unwrap(),
            &["--exact", "lan::on_another_host", "--ignored", "--nocapture", "--test-threads=1"],
            &told,
        )
    }

    fn run(&self, program: &str, args: &[&str], environment: &[(String, String)]) -> Program {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.namespace, program])
            .args(args)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Program { child, input, lines }
    }

    fn unplug(&self) {
        ip(&["-n", &self.namespace, "link", "set", "lan0", "down"]).unwrap();
    }

    fn plug(&self) {
        ip(&["-n", &self.namespace, "link", "set", "lan0", "up"]).unwrap();
    }
}

/// A program on one of the hosts, and what it says.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    /// The next line that holds `what`.
    fn hear(&mut self, what: &str, within: Duration) -> String {
        self.next_with(what, within)
    }

    /// The same for a program that ends by itself.
    fn wait_for(mut self, what: &str) -> String {
        self.next_with(what, PATIENCE)
    }

    fn next_with(&mut self, what: &str, within: Duration) -> String {
        let since = Stopwatch::start();
        let mut heard = Vec::new();
        loop {
            let left = within.saturating_sub(since.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(what) => return line,
                Ok(line) => heard.push(line),
                Err(_) => panic!("waited {within:?} for {what:?}, heard {heard:#?}"),
            }
        }
    }

    fn terminate(&self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Lets it end by itself.
    fn stop(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
