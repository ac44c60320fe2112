//! What the system itself takes for as many small sends as a fan-out makes: no program that says something to everybody
//! can be cheaper, and machines differ by more than programs do.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::line;

/// Connections that are each told the same so many times, with a pause in between.
pub(crate) struct Sends {
    pub(crate) readers: usize,
    pub(crate) rounds: usize,
    pub(crate) pause: Duration,
    pub(crate) bytes: usize,
}

/// One thread that does nothing else tells them; that thread's processor time.
pub(crate) async fn bare_sends(sends: Sends) {
    let (readers, rounds) = (sends.readers, sends.rounds);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut lines = Vec::new();
    for _ in 0..readers {
        let mut ear = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mouth, _) = listener.accept().unwrap();
        mouth.set_nodelay(true).unwrap();
        lines.push(mouth);
        tokio::spawn(async move { while ear.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} });
    }
    let said = tokio::task::spawn_blocking(move || say_to_all(lines, &sends)).await.unwrap();
    let Some(spent) = said else { return };
    let per_100_000 = spent.as_secs_f64() * 100_000.0 / (readers * rounds) as f64;
    let figure = format!("bare sends to {readers}, by the system alone, per 100,000");
    line(&figure, &format!("{per_100_000:.2} CPU-s"), "");
}

fn say_to_all(mut lines: Vec<TcpStream>, sends: &Sends) -> Option<Duration> {
    let before = spent_here()?;
    let said = vec![0; sends.bytes];
    for _ in 0..sends.rounds {
        for line in &mut lines {
            line.write_all(&said).unwrap();
        }
        std::thread::sleep(sends.pause);
    }
    Some(spent_here()? - before)
}

/// The least program that hands on what is published in Redis: one thread, one client, messages of one size. The port on
/// which it awaits the client.
pub(crate) fn relay(redis_port: u16, channel: &'static str, bytes: usize) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let mut redis = TcpStream::connect(("127.0.0.1", redis_port))?;
    std::thread::spawn(move || -> io::Result<()> {
        let named = format!("${}\r\n{channel}\r\n", channel.len());
        redis.write_all(format!("SUBSCRIBE {channel}\r\n").as_bytes())?;
        redis.read_exact(&mut vec![0; format!("*3\r\n$9\r\nsubscribe\r\n{named}:1\r\n").len()])?;
        let mut ear = listener.accept()?.0;
        ear.set_nodelay(true)?;
        for (n, answer) in
            [&b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x030{}"[..], b"\x81\x0440{}"].iter().enumerate()
        {
            assert_ne!(ear.read(&mut [0; 4096])?, 0, "the client said nothing the {n}th time");
            ear.write_all(answer)?;
        }
        let head = format!("*3\r\n$7\r\nmessage\r\n{named}${bytes}\r\n").len();
        let mut heard = vec![0; head + bytes + 2];
        loop {
            redis.read_exact(&mut heard)?;
            let mut frame = vec![0x81, 126, 0, 0];
            frame.extend_from_slice(b"42[\"records\",");
            frame.extend_from_slice(&heard[head..head + bytes]);
            frame.push(b']');
            let length = (frame.len() - 4) as u16;
            frame[2..4].copy_from_slice(&length.to_be_bytes());
            ear.write_all(&frame)?;
        }
    });
    Ok(port)
}

/// Processor time of this thread so far; `None` where the system does not tell it this way.
fn spent_here() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
