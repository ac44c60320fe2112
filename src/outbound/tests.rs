//! What the client promises whoever runs the office: nobody makes it knock at a door inside.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that answers everything alike, and how often somebody came.
async fn server(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (came, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
    let (count, text) = (came.clone(), heard.clone());
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let text = text.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                let read = tcp.read(&mut bytes).await.unwrap_or(0);
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
                tcp.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    (address, came, heard)
}

fn get(url: String) -> Ask {
    Ask { deadline: Duration::from_secs(2), ..Ask::new(Method::GET, url) }
}

/// A resolver that answers these, one after the other, whatever it is asked.
fn says(answers: &[SocketAddr]) -> (Resolve, Arc<AtomicUsize>) {
    let (answers, asked) = (answers.to_vec(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    let resolve: Resolve = Arc::new(move |_, _| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        let answer = answers[turn.min(answers.len() - 1)];
        Box::pin(async move { Ok(vec![answer]) })
    });
    (resolve, asked)
}

#[tokio::test]
async fn no_way_to_write_this_computers_address_opens_it() {
    let (trap, came, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let port = trap.port();
    let client = Outbound::new(vec!["somewhere.example:1".into()]);
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "127.0.0.2",
        "127.255.255.254",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "a@127.0.0.1",
        "example.com@127.0.0.1",
        "127.0.0.1%2f",
        "127。0。0。1",
        "１２７.0.0.1",
        "",
    ] {
        for scheme in ["http", "https", "ftp", "file", ""] {
            let asked = client.ask(get(format!("{scheme}://{host}:{port}/x"))).await;
            assert!(asked.is_err(), "{scheme}://{host} answered");
        }
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_the_operator_allows_is_reached_and_only_that() {
    let (here, came, heard) =
        server("HTTP/1.1 200 OK\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nhi").await;
    let client = Outbound::new(vec![format!("127.0.0.1:{}", here.port())]);
    let mut ask = get(format!("http://{here}/a?b=c"));
    ask.headers.push((header::AUTHORIZATION, HeaderValue::from_static("Bearer s")));
    let answer = client.ask(ask).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hi"[..]));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    let heard = heard.lock().unwrap().clone();
    assert!(
        heard.starts_with("GET /a?b=c HTTP/1.1\r\n") && heard.contains(&format!("host: {here}\r\n")),
        "{heard}"
    );
    assert!(heard.contains("authorization: Bearer s\r\n"));
    let (other, never, _) = server("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(client.ask(get(format!("http://{other}/"))).await.unwrap_err(), OutboundError::Scheme);
    let trusted = Ask { trusted: true, ..get(format!("http://{here}/")) };
    assert_eq!(Outbound::new(Vec::new()).ask(trusted).await.unwrap().status, 200);
    assert_eq!((came.load(Ordering::SeqCst), never.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_asked_once_and_gains_nothing() {
    let (trap, came, _) = server("HTTP/1.1 200 OK\r\n\r\n").await;
    // Inside at once, and outside first and inside when asked again.
    for answers in [vec![trap], vec!["[2001:db8::1]:443".parse().unwrap(), trap]] {
        let (resolve, asked) = says(&answers);
        let client = Outbound::with(Vec::new(), resolve);
        let error = client.ask(get("https://rebind.example/".into())).await.unwrap_err();
        assert_eq!((error, asked.load(Ordering::SeqCst)), (OutboundError::Forbidden, 1));
    }
    let (resolve, asked) = says(&["93.184.216.34:443".parse().unwrap(), trap]);
    let ask = Ask { deadline: Duration::from_millis(300), ..get("https://rebind.example/".into()) };
    assert!(Outbound::with(Vec::new(), resolve).ask(ask).await.is_err());
    assert_eq!((asked.load(Ordering::SeqCst), came.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn a_redirect_leads_nowhere_unless_asked_for_and_never_to_another_host() {
    let (trap, came, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let to: &'static str = Box::leak(
        format!("HTTP/1.1 302 Found\r\nLocation: http://{trap}/\r\nContent-Length: 0\r\n\r\n").into(),
    );
    let (away, ..) = server(to).await;
    let to: &'static str = Box::leak(to.replace("127.0.0.1", "localhost").into());
    let (elsewhere, ..) = server(to).await;
    let client = Outbound::new(vec!["127.0.0.1".into()]);
    let plain = client.ask(get(format!("http://{away}/"))).await.unwrap();
    assert_eq!((plain.status, came.load(Ordering::SeqCst)), (302, 0));
    let follow = |at| Ask { redirects: true, ..get(format!("http://{at}/")) };
    assert_eq!(client.ask(follow(elsewhere)).await.unwrap().status, 302);
    assert_eq!(came.load(Ordering::SeqCst), 0);
    assert_eq!(client.ask(follow(away)).await.unwrap().status, 200);
    let (round, turns, _) =
        server("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.ask(follow(round)).await.unwrap().status, 302);
    assert_eq!(turns.load(Ordering::SeqCst), 1 + OUTBOUND_REDIRECTS_MAX);
}

#[tokio::test]
async fn long_slow_and_broken_answers_are_errors_in_time() {
    let client = Outbound::new(vec!["127.0.0.1".into()]);
    let long: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(OUTBOUND_ANSWER_MAX_BYTES + 1))
            .into(),
    );
    for (answer, error) in [
        (long, OutboundError::TooLong),
        ("", OutboundError::Broken),
        ("SSH-2.0-OpenSSH\r\n", OutboundError::Broken),
    ] {
        let (at, ..) = server(answer).await;
        assert_eq!(client.ask(get(format!("http://{at}/"))).await.unwrap_err(), error);
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let ask = Ask { deadline: Duration::from_millis(100), ..get(url) };
    let error = client.ask(ask.clone()).await.unwrap_err();
    assert_eq!(error, OutboundError::TooSlow);
    // Not TLS at all, whatever the certificate.
    let (at, ..) = server("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(client.ask(get(format!("https://{at}/"))).await.unwrap_err(), OutboundError::Tls);
    drop(silent);
    assert_eq!(client.ask(ask).await.unwrap_err(), OutboundError::Unreachable);
}

#[tokio::test]
async fn a_flood_of_requests_is_bounded() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let client = Outbound::new(vec!["127.0.0.1".into()]);
    let ask = Ask { deadline: Duration::from_millis(300), ..get(url) };
    let all = (0..OUTBOUND_WAITING_MAX + 10).map(|_| client.ask(ask.clone()));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|asked| matches!(asked, Err(OutboundError::Busy))).count(), 10);
    assert_eq!(client.0.waiting.load(Ordering::SeqCst), 0);
}
