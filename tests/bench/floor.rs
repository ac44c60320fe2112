//! What the system itself takes for as many small sends as a fan-out makes: no program that says something to everybody
//! can be cheaper, and machines differ by more than programs do.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::line;

const READERS: usize = 50;
const ROUNDS: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);
/// An edit of one letter in its frames.
const BYTES: usize = 40;

/// 50 connections, each told the same 500 times by one thread that does nothing else; that thread's processor time.
pub(crate) async fn bare_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut lines = Vec::new();
    for _ in 0..READERS {
        let mut ear = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mouth, _) = listener.accept().unwrap();
        mouth.set_nodelay(true).unwrap();
        lines.push(mouth);
        tokio::spawn(async move { while ear.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} });
    }
    let said = tokio::task::spawn_blocking(move || say_to_all(lines)).await.unwrap();
    let Some(spent) = said else { return };
    let per_100_000 = spent.as_secs_f64() * 100_000.0 / (READERS * ROUNDS) as f64;
    line("bare sends to 50, by the system alone, per 100,000", &format!("{per_100_000:.2} CPU-s"), "");
}

fn say_to_all(mut lines: Vec<TcpStream>) -> Option<Duration> {
    let before = spent_here()?;
    for _ in 0..ROUNDS {
        for line in &mut lines {
            line.write_all(&[0; BYTES]).unwrap();
        }
        std::thread::sleep(PAUSE);
    }
    Some(spent_here()? - before)
}

/// Processor time of this thread so far; `None` where the system does not tell it this way.
fn spent_here() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
