//! Nobody loses a message: clients in many rooms, back ends that publish by Redis and by POST, the program killed
//! again and again, Redis cut again and again. In the end every client has each message of its rooms once and in order;
//! only who was away longer than the window does not, and is told.
//!
//! What is promised about a publication: answered by POST, it arrives, once, whatever happens. Taken from Redis, it
//! arrives once; what Redis says while the office is dead or cannot be reached is gone, as is the nature of publish
//! and subscribe. Only what the office had no time to take may be missing.

mod ledger;
mod publish;
mod reader;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use townhall::auth::Role;

use self::ledger::{Heard, Ledger, Life, number_of};
use self::publish::Published;
use self::reader::Reader;
use crate::harness::OfficeProcess;
use crate::harness::dice::Dice;
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;

const READERS: usize = 500;
/// Clients of the stock library, beside them, by their transports. None moves from one to the other: where that
/// library loses the new one in the very moment of moving, it is deaf until it misses its ping. Then it gets
/// everything, but after 45 s, which is longer than this test's window.
const STOCK: [&[&str]; 3] = [&["polling"], &["websocket"], &["websocket", "polling"]];
/// Readers that stay away for longer than the window.
const SLEEPERS: usize = 10;
/// Everybody is in two of them.
const GROUPS: usize = 40;
const KILLS: usize = 5;
const CUTS: usize = 3;
const WINDOW: Duration = Duration::from_secs(15);
/// What readers that sleep sleep.
const SLEEP: Duration = Duration::from_secs(17);
/// What was said until the end is heard within this time by everybody.
const SETTLED: Duration = Duration::from_secs(30);

/// The rooms of a client.
fn rooms(client: usize) -> Vec<String> {
    let (one, other) = (client % GROUPS, (client * 7 + 3) % GROUPS);
    let mut rooms = vec!["notice".to_owned(), format!("user-{client}"), format!("group-{one}")];
    if other != one {
        rooms.push(format!("group-{other}"));
    }
    rooms
}

/// What everybody in this test knows.
struct Scene {
    address: SocketAddr,
    redis_url: String,
    admin: String,
    /// Until true, back ends publish.
    over: AtomicBool,
    /// Readers that slept and came back.
    woken: AtomicUsize,
    /// When the program or Redis died, or came back.
    shocks: Mutex<Vec<Instant>>,
}

impl Scene {
    async fn shock(&self) {
        self.shocks.lock().await.push(Instant::now());
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// What a back end writes when people open its page.
    async fn write_users(&self) {
        let client = redis::Client::open(self.redis_url.as_str()).unwrap();
        let mut line = client.get_multiplexed_async_connection().await.unwrap();
        let mut all = redis::pipe();
        for number in 0..READERS + STOCK.len() {
            let rooms = rooms(number);
            let groups: Vec<u64> =
                rooms.iter().filter_map(|room| room.strip_prefix("group-")?.parse().ok()).collect();
            let user = json!({ "id": number, "name": "Ann", "group_ids": groups });
            all.set(format!("/current_users/t{number}"), user.to_string()).ignore();
        }
        all.query_async::<()>(&mut line).await.unwrap();
    }
}

/// The program, to be killed and started again on its port.
struct Program {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    running: Option<OfficeProcess>,
}

impl Program {
    fn new(redis_url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        std::fs::write(&config, format!("channels:\n  window_s: {}\n", WINDOW.as_secs())).unwrap();
        let listen = format!("127.0.0.1:{}", quiet_port());
        let words = ["--listen", &listen, "--redis", redis_url, "--config", config.to_str().unwrap()];
        let arguments = words.iter().map(|word| (*word).to_owned()).collect();
        Self { folder, arguments, running: None }
    }

    fn start(mut self) -> Self {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.running = Some(OfficeProcess::start_with(&self.folder.path().join("data"), &arguments, &[]));
        self
    }

    fn office(&self) -> &OfficeProcess {
        self.running.as_ref().unwrap()
    }

    fn kill(mut self) -> Self {
        self.running.take().unwrap().kill();
        self
    }
}

/// A port that no connection is given by chance while the program is dead.
fn quiet_port() -> u16 {
    let first = 20_000 + std::process::id() as u16 % 10_000;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).find(free).expect("a free port")
}

async fn kill_again_and_again(scene: Arc<Scene>, mut program: Program, mut dice: Dice) -> Program {
    for _ in 0..KILLS {
        tokio::time::sleep(dice.between(1_000, 4_500)).await;
        scene.shock().await;
        program = program.kill();
        tokio::time::sleep(dice.between(0, 300)).await;
        program = tokio::task::spawn_blocking(|| program.start()).await.unwrap();
        scene.shock().await;
    }
    program
}

async fn cut_again_and_again(scene: Arc<Scene>, mut redis: RedisServer, mut dice: Dice) -> RedisServer {
    for _ in 0..CUTS {
        tokio::time::sleep(dice.between(2_000, 6_000)).await;
        scene.shock().await;
        redis.kill();
        tokio::time::sleep(dice.between(50, 1_500)).await;
        redis.start_again().await;
        scene.write_users().await;
        scene.shock().await;
    }
    redis
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_a_message_when_the_program_and_redis_die_again_and_again() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed:#x}");
    let mut dice = Dice::new(seed);
    let program = Program::new(&redis.url()).start();
    let scene = Arc::new(Scene {
        address: program.office().address(),
        redis_url: redis.url(),
        admin: program.office().mint(Role::Service).await,
        over: AtomicBool::new(false),
        woken: AtomicUsize::new(0),
        shocks: Mutex::default(),
    });
    scene.write_users().await;
    let start = Instant::now();
    let mut readers = JoinSet::new();
    let mut present = JoinSet::new();
    for number in 0..READERS {
        let sleeps = number < SLEEPERS;
        let (reader, here) = Reader::new(number, &scene, sleeps, Dice::new(dice.next()));
        readers.spawn(reader.attend());
        present.spawn(here);
    }
    let mut node = Node::run("loomio.mjs").await;
    for (number, transports) in (READERS..).zip(STOCK) {
        let client = number.to_string();
        let (url, token) = (format!("http://{}", scene.address), format!("t{number}"));
        let query = json!({ "channel_token": token });
        let open =
            json!({ "do": "open", "client": client, "url": url, "query": query, "transports": transports });
        node.tell(open).await;
        node.until(&client, "connected", |state| state["connected"] == true).await;
    }
    while let Some(here) = present.join_next().await {
        here.unwrap().expect("everybody comes in");
    }
    println!("everybody is here after {:?}", start.elapsed());
    let start = Instant::now();

    let publishing = publish::start(&scene, &mut dice);
    let killing = tokio::spawn(kill_again_and_again(scene.clone(), program, Dice::new(dice.next())));
    let cutting = tokio::spawn(cut_again_and_again(scene.clone(), redis, Dice::new(dice.next())));
    let (program, _redis) = (killing.await.unwrap(), cutting.await.unwrap());
    while scene.woken.load(Ordering::Relaxed) < SLEEPERS {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.over.store(true, Ordering::Relaxed);
    let mut published = Published::default();
    for back_end in publishing.join_all().await {
        published.add(back_end);
    }
    println!("the storm is over after {:?}", start.elapsed());

    // The last word: whoever hears it has heard everything before it.
    publish::post_until_taken(&scene, "notice", "end").await;
    let lives = tokio::time::timeout(SETTLED, readers.join_all()).await;
    let mut lives = lives.expect("everybody hears the last word in time");
    for number in READERS..READERS + STOCK.len() {
        lives.push(stock_life(&mut node, number).await);
    }
    println!("everybody has heard it after {:?}", start.elapsed());

    let ledger = Ledger::of(&lives);
    lives.iter().for_each(|life| ledger.check(life));
    ledger.check_publications(&published, &scene.shocks.lock().await);
    check_sleepers(&lives);
    let log = program.office().log();
    assert!(!log.contains("panicked") && !log.contains(" failed; it starts again"), "{log}");
    let back: usize = lives.iter().map(|life| life.recovered).sum();
    println!(
        "{} messages heard {} times; {back} sessions taken up; {:?}",
        ledger.len(),
        lives.iter().map(|life| life.heard().count()).sum::<usize>(),
        published.counts(),
    );
    assert!(back > READERS * 4, "hardly anybody had to come back");
}

/// Only who was away for longer than the window is told that its session is gone.
fn check_sleepers(lives: &[Life]) {
    for life in lives {
        let told = life.parts.len() - 1;
        assert_eq!(told, usize::from(life.client < SLEEPERS), "client {}: told {told} times", life.client);
    }
}

/// What a client of the stock library heard; an answer to every event's number.
async fn stock_life(node: &mut Node, client: usize) -> Life {
    let name = client.to_string();
    let last = |state: &serde_json::Value| state["heard"].as_array().and_then(|all| all.last().cloned());
    let state = node
        .until_within(SETTLED, &name, "told the last word", |state| {
            last(state).is_some_and(|event| event[1]["id"] == "end")
        })
        .await;
    let heard = state["heard"].as_array().unwrap().iter().map(|event| Heard {
        seq: number_of(event[2].as_str().expect("an offset")),
        room: event[1]["room"].as_str().unwrap().into(),
        id: event[1]["id"].as_str().unwrap().into(),
    });
    let mut life = Life::new(client);
    life.parts[0].extend(heard);
    let recovered = state["recovered"].as_array().unwrap();
    assert!(recovered.iter().skip(1).all(|recovered| recovered == true), "client {client}: {recovered:?}");
    life.recovered = recovered.len() - 1;
    life
}
